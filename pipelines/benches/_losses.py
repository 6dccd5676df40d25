"""What benches of losses share: a check that two are one, and the work of one with its gradient."""

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from medssl.errors import DataError
from pipelines.benches._measuring import Work

TOLERANCE = 1e-4


def check_equal(z: Tensor, ours: Tensor, reference: Tensor) -> None:
    """Compare losses of the same embeddings, and their gradients.

    Raises:
        DataError: If they differ.
    """
    found, expected = (torch.autograd.grad(loss, z)[0] for loss in (ours, reference))
    apart = float((found - expected).norm() / expected.norm())
    if abs(ours.item() - reference.item()) > TOLERANCE or apart > TOLERANCE:
        msg = (
            f"the loss is {ours.item():.6f}, by its formula {reference.item():.6f}, gradients are "
            f"{apart:.2g} apart: nothing is timed"
        )
        raise DataError(msg)


def timed(loss: Callable[[Tensor], Tensor], z: Tensor, steps: int) -> Work:
    """Return the work of computing a loss and its gradient so many times."""

    def work(_: Path) -> None:
        for _step in range(steps):
            torch.autograd.grad(loss(z), z)

    return work
