"""Adam: steps of the gradient's mean over its deviation.

Source: Kingma, Ba, "Adam: A Method for Stochastic Optimization", ICLR 2015,
arXiv:1412.6980, Algorithm 1; computed by `torch.optim.Adam`.
Departs from the paper: nowhere.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import nn

from medssl.training.optimizers import check_lr

__all__ = ["Adam"]


@dataclass(frozen=True, kw_only=True)
class Adam:
    """Makes an Adam.

    Args:
        lr: Full learning rate.
        betas: Momenta of the gradient's mean and of its square.
        eps: Added to the deviation.
    """

    lr: float = 1e-3
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8

    def __post_init__(self) -> None:
        check_lr(self.lr)

    def __call__(self, parameters: Iterable[nn.Parameter]) -> torch.optim.Adam:
        """Return the optimizer of these parameters."""
        return torch.optim.Adam(parameters, lr=self.lr, betas=self.betas, eps=self.eps)
