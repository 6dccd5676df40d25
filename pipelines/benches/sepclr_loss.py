"""The loss of SepCLR and its gradient, against one NT-Xent of as many items.

lightly's NT-Xent sees two views of the same items with codes of the same length, once; SepCLR has
kernels of two codes in two views. Loss and gradient are compared with the paper's formula, kernels
as they stand there, before anything is timed.
"""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from jaxtyping import Bool, Float
from lightly.loss import NTXentLoss
from torch import Tensor
from torch.nn import functional

from medssl.errors import ConfigError
from medssl.objectives.sep_clr import SepCLR
from pipelines.benches import Goal, Measured, Result
from pipelines.benches._losses import check_equal, timed
from pipelines.benches._measuring import alternate, median_of, on_cores, ratio, show

__all__ = ["SepclrLoss"]

Codes = Float[Tensor, "code item dim"]  # common and salient ones, of two views each


@dataclass(frozen=True, kw_only=True)
class SepclrLoss:
    """Measures it.

    Args:
        items: In a batch, half of them targets.
        dim: Numbers of a code.
        steps: Losses with gradients that one timing holds.
        repetitions: How often each is timed, in turn.
        cores: How many both run on.
        slower_than_ntxent: How many times the time of NT-Xent ours may take.
    """

    items: int = 512
    dim: int = 32
    steps: int = 50
    repetitions: int = 7
    cores: int = 2
    slower_than_ntxent: float = 2.0

    def __post_init__(self) -> None:
        counts = (self.dim, self.steps, self.repetitions, self.cores)
        if min(counts) < 1 or self.items < 4:
            msg = f"expected counts of at least 1 and 4 items, got {counts} and {self.items}"
            raise ConfigError(msg)

    def __call__(self, folder: Path) -> Result:
        """Compare loss and gradient with the formula's, then time."""
        noise = torch.Generator().manual_seed(0)
        codes = torch.randn(4, self.items, self.dim, generator=noise).mul(0.3).requires_grad_()
        is_target = torch.arange(self.items) % 2 == 1
        ours = partial(_ours, SepCLR(), is_target)
        check_equal(codes, ours(codes), by_formula(codes, is_target))
        works = {
            "medssl": timed(ours, codes, self.steps),
            "lightly": timed(partial(_ntxent, NTXentLoss()), codes, self.steps),
        }
        with on_cores(self.cores):
            taken_s = alternate(works, folder / "scratch", self.repetitions)
        a_loss_s = {name: [each / self.steps for each in taken_s[name]] for name in works}
        show({name: [1e3 * s for s in each] for name, each in a_loss_s.items()}, unit="ms a loss")
        return Result(measured=self._measured(a_loss_s), details={"seconds_a_loss": a_loss_s})

    def _measured(self, a_loss_s: dict[str, list[float]]) -> tuple[Measured, ...]:
        ours_s = a_loss_s["medssl"]
        return (
            median_of("time", [1e3 * each for each in ours_s], unit="ms a loss with its gradient"),
            ratio(
                "lightly",
                ours_s,
                a_loss_s["lightly"],
                unit="x the time of lightly's NT-Xent",
                goal=Goal(side="at most", limit=self.slower_than_ntxent),
            ),
        )


def by_formula(codes: Codes, is_target: Bool[Tensor, "item"]) -> Tensor:
    """Return the loss of `SepCLR()`, from kernels instead of their logarithms."""
    items = codes.shape[1]
    common = functional.normalize(codes[:2], dim=2)
    salient = codes[2:] * is_target[:, None]
    kernels = [(-torch.cdist(each, each).square()).exp() for each in (common, salient)]
    others = 1 - torch.eye(items)
    uniform = [(each * others).sum(dim=(1, 2)) / (items * (items - 1)) for each in kernels]
    aligned = [
        (one - two).square().sum(dim=1).mean() for one, two in (common, codes[2:, is_target])
    ]
    silent = codes[2:, ~is_target].square().sum(dim=2).mean()
    joint = (kernels[0] * kernels[1]).mean(dim=2).log().mean()
    spread = sum(each.log().mean() for each in uniform)
    return aligned[0] + aligned[1] + 2 * spread + 10 * silent + 10 * joint


def _ours(objective: SepCLR, is_target: Bool[Tensor, "item"], codes: Tensor) -> Tensor:
    none = codes.new_zeros(0, codes.shape[2])
    return objective(*codes, is_target, none, none).total


def _ntxent(objective: NTXentLoss, codes: Tensor) -> Tensor:
    loss: Tensor = objective(codes[0], codes[1])
    return loss
