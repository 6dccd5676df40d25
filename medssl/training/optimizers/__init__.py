"""By what rule parameters follow their gradients.

A member is a frozen dataclass whose call makes the torch optimizer of some parameters.
"""

from collections.abc import Iterable
from typing import Protocol, runtime_checkable

from torch import nn
from torch.optim import Optimizer


@runtime_checkable
class OptimizerFactory(Protocol):
    """Makes an optimizer; `lr` is the rate that a schedule scales."""

    lr: float

    def __call__(self, parameters: Iterable[nn.Parameter]) -> Optimizer:
        """Return the optimizer of these parameters."""
        ...


def check_lr(lr: float) -> None:
    """Refuse a learning rate that moves nothing, or uphill.

    Raises:
        ValueError: If it is not positive.
    """
    if not lr > 0:
        msg = f"lr must be positive, got {lr}"
        raise ValueError(msg)
