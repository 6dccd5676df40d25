"""AdamW: steps of the gradient's mean over its deviation, with decay apart from both.

Source: Loshchilov, Hutter, "Decoupled Weight Decay Regularization", ICLR 2019,
arXiv:1711.05101, Algorithm 2; computed by `torch.optim.AdamW`.
Departs from the paper: nowhere; the schedule multiplies decay as well, as there.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import nn

from medssl.training.optimizers import check_lr

__all__ = ["AdamW"]


@dataclass(frozen=True, kw_only=True)
class AdamW:
    """Makes an AdamW.

    Args:
        lr: Full learning rate.
        weight_decay: Share of a weight that is taken off a step, in units of the rate.
        betas: Momenta of the gradient's mean and of its square.
        eps: Added to the deviation.
    """

    lr: float = 1e-3
    weight_decay: float = 0.01
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8

    def __post_init__(self) -> None:
        check_lr(self.lr)

    def __call__(self, parameters: Iterable[nn.Parameter]) -> torch.optim.AdamW:
        """Return the optimizer of these parameters."""
        return torch.optim.AdamW(
            parameters,
            lr=self.lr,
            weight_decay=self.weight_decay,
            betas=self.betas,
            eps=self.eps,
        )
