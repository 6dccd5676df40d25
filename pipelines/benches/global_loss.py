"""The loss of global contrast (G^D-) and its gradient, against NT-Xent and a loop over the pairs.

lightly's NT-Xent sees the same embeddings as two views of half as many items: every item is a
negative there, here those of other parts alone. The loop takes the pairs one by one, each with its
own negatives and cosines, which is the formula as it stands; loss and gradient are compared with it
before anything is timed.
"""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from jaxtyping import Float, Int
from lightly.loss import NTXentLoss
from torch import Tensor
from torch.nn import functional

from medssl.errors import ConfigError
from medssl.objectives.global_contrast import GlobalContrast
from pipelines.benches import Goal, Measured, Result
from pipelines.benches._losses import check_equal, timed
from pipelines.benches._measuring import alternate, median_of, on_cores, ratio, show

__all__ = ["GlobalLoss"]

TEMPERATURE = 0.1


@dataclass(frozen=True, kw_only=True)
class GlobalLoss:
    """Measures it.

    Args:
        volumes: In a batch.
        parts: Of a volume.
        views: Of a part.
        dim: Numbers of an embedding.
        steps: Losses with gradients that one timing holds of the batched ones; of the loop, one.
        repetitions: How often each is timed, in turn.
        cores: How many all run on.
        slower_than_ntxent: How many times the time of NT-Xent ours may take.
        faster_than_loop: How many times as fast as the loop it has to be.
    """

    volumes: int = 42
    parts: int = 4
    views: int = 3
    dim: int = 128
    steps: int = 50
    repetitions: int = 7
    cores: int = 2
    slower_than_ntxent: float = 1.5
    faster_than_loop: float = 100.0

    def __post_init__(self) -> None:
        counts = (self.volumes, self.dim, self.steps, self.repetitions, self.cores)
        if min(counts) < 1 or self.parts < 2 or self.views < 2:
            msg = (
                f"expected counts of at least 1, got {counts}, and at least 2 parts and 2 views, "
                f"got {self.parts} and {self.views}"
            )
            raise ConfigError(msg)
        if self.volumes * self.parts * self.views % 2:
            msg = "expected an even number of embeddings, as NT-Xent takes them in two views"
            raise ConfigError(msg)

    def __call__(self, folder: Path) -> Result:
        """Compare loss and gradient with the loop's, then time."""
        items = self.volumes * self.parts
        noise = torch.Generator().manual_seed(0)
        z = torch.randn(self.views, items, self.dim, generator=noise).requires_grad_()
        part = torch.arange(self.parts).repeat(self.volumes)
        volume = torch.arange(self.volumes).repeat_interleave(self.parts)
        ours = partial(
            _ours, GlobalContrast(variant="partition", temperature=TEMPERATURE), volume, part
        )
        loop = partial(by_pairs, part=part)
        check_equal(z, ours(z), loop(z))
        works = {
            "medssl": timed(ours, z, self.steps),
            "lightly": timed(partial(_ntxent, NTXentLoss(temperature=TEMPERATURE)), z, self.steps),
            "loop": timed(loop, z, 1),
        }
        with on_cores(self.cores):
            taken_s = alternate(works, folder / "scratch", self.repetitions)
        a_loss_s = taken_s | {
            name: [each / self.steps for each in taken_s[name]] for name in ("medssl", "lightly")
        }
        show({name: [1e3 * s for s in each] for name, each in a_loss_s.items()}, unit="ms a loss")
        return Result(measured=self._measured(a_loss_s), details={"seconds_a_loss": a_loss_s})

    def _measured(self, a_loss_s: dict[str, list[float]]) -> tuple[Measured, ...]:
        ours_s = a_loss_s["medssl"]
        return (
            median_of("time", [1e3 * each for each in ours_s], unit="ms a loss with its gradient"),
            ratio(
                "loop",
                a_loss_s["loop"],
                ours_s,
                unit="x as fast as the loop over pairs",
                goal=Goal(side="at least", limit=self.faster_than_loop),
            ),
            ratio(
                "lightly",
                ours_s,
                a_loss_s["lightly"],
                unit="x the time of lightly's NT-Xent",
                goal=Goal(side="at most", limit=self.slower_than_ntxent),
            ),
        )


def by_pairs(z: Float[Tensor, "view item dim"], part: Int[Tensor, "item"]) -> Tensor:
    """Return the mean term over ordered pairs of views of an item, pair by pair."""
    views, items = z.shape[:2]
    rows, of_row = z.flatten(0, 1), part.repeat(views)
    terms = []
    for item in range(items):
        for a in range(views):
            for b in (view for view in range(views) if view != a):
                anchor = z[a, item]
                negatives = rows[of_row != part[item]]
                positive = functional.cosine_similarity(anchor, z[b, item], dim=0) / TEMPERATURE
                rivals = functional.cosine_similarity(anchor[None], negatives) / TEMPERATURE
                terms.append(torch.cat([positive[None], rivals]).logsumexp(dim=0) - positive)
    return torch.stack(terms).mean()


def _ours(
    objective: GlobalContrast, volume: Int[Tensor, "item"], part: Int[Tensor, "item"], z: Tensor
) -> Tensor:
    return objective(z, volume, part, volume).total


def _ntxent(objective: NTXentLoss, z: Tensor) -> Tensor:
    loss: Tensor = objective(*z.flatten(0, 1).chunk(2))
    return loss
