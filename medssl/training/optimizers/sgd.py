"""SGD with Nesterov's momentum, at nnU-Net's settings.

Source: Sutskever, Martens, Dahl, Hinton, "On the importance of initialization and momentum in
deep learning", ICML 2013; Isensee et al., "nnU-Net", Nature Methods 2021, doi
10.1038/s41592-020-01008-z (the defaults); computed by `torch.optim.SGD`.
Departs from the paper: torch's form of the momentum, in which the rate stands outside of it.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import nn

from medssl.training.optimizers import check_lr

__all__ = ["SGD"]


@dataclass(frozen=True, kw_only=True)
class SGD:
    """Makes an SGD.

    Args:
        lr: Full learning rate.
        momentum: Share of the last step's direction that is kept; 0 for none.
        nesterov: Whether the gradient is looked at from where the momentum leads.
        weight_decay: Weight of the squared norm of the parameters, halved, in the loss.
    """

    lr: float = 0.01
    momentum: float = 0.99
    nesterov: bool = True
    weight_decay: float = 3e-5

    def __post_init__(self) -> None:
        check_lr(self.lr)

    def __call__(self, parameters: Iterable[nn.Parameter]) -> torch.optim.SGD:
        """Return the optimizer of these parameters."""
        return torch.optim.SGD(
            parameters,
            lr=self.lr,
            momentum=self.momentum,
            nesterov=self.nesterov,
            weight_decay=self.weight_decay,
        )
