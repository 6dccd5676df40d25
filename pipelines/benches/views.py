"""Cases a second of two augmented views each, against MONAI and TorchIO.

Crops that lie in memory become a batch of views: the same operations in the same ranges for all,
each of them on every view, on the same cores. medssl does a batch at once in this process; a
peer does case by case, on as many threads of one process, which is what goals are about, and in
workers of one thread each, MONAI with lazy resampling as well. Of several settings in one place
the fastest counts.
"""

import statistics
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from medssl.data.augment import augment
from medssl.data.crops import Crops
from medssl.data.views import ViewOperation
from medssl.data.views.affine import Affine
from medssl.data.views.blur import Blur
from medssl.data.views.gamma import Gamma
from medssl.data.views.intensity_shift import IntensityShift
from medssl.data.views.noise import Noise
from medssl.errors import ConfigError
from pipelines.benches import Goal, Measured, Result
from pipelines.benches._measuring import Work, alternate, emptied, on_cores, ratio, show
from pipelines.benches._view_peers import (
    Chain,
    Ranges,
    TwoViews,
    batches,
    monai_chain,
    torchio_chain,
)

__all__ = ["ViewThroughput"]

US = "medssl"
PEERS = ("monai", "torchio")
HERE = "in this process"
THERE = "in workers"
PLACES = (THERE, HERE)  # what matters most stands last


@dataclass(frozen=True, kw_only=True)
class ViewThroughput:
    """Measures it.

    Args:
        goals: How many times a peer's cases a second ours should be, by the peer's package.
        repetitions: How often each is timed.
        cores: How many all run on, and threads or workers that each may have.
        num_cases: Of a batch.
        num_batches: Of a repetition.
        side_vox: Of a crop.
    """

    goals: Mapping[str, float]
    repetitions: int = 7
    cores: int = 2
    num_cases: int = 8
    num_batches: int = 4
    side_vox: int = 64

    def __post_init__(self) -> None:
        counts = (self.repetitions, self.cores, self.num_cases, self.num_batches, self.side_vox)
        if min(counts) < 1:
            msg = f"expected counts of at least 1, got {counts}"
            raise ConfigError(msg)
        if unknown := sorted(self.goals.keys() - set(PEERS)):
            msg = f"goals: {unknown} are none of the peers {list(PEERS)}"
            raise ConfigError(msg)

    def __call__(self, folder: Path) -> Result:
        """Time all in turn, then each of our operations alone."""
        generator = torch.Generator().manual_seed(0)
        shape = (self.num_cases, 1, *(self.side_vox,) * 3)
        images = torch.rand(shape, generator=generator)
        operations = our_operations(Ranges())
        chains = {
            "monai": monai_chain(Ranges(), self.side_vox, lazy=False),
            "monai, lazy": monai_chain(Ranges(), self.side_vox, lazy=True),
            "torchio": torchio_chain(Ranges(), self.side_vox),
        }
        with on_cores(self.cores), threads(self.cores), emptied(folder / "scratch") as scratch:
            crops = [two_crops(images, batch) for batch in range(self.num_batches)]
            alone = {type(one).__name__: partial(_view, crops, [one]) for one in operations}
            works: dict[str, Work] = {US: partial(_view, crops, operations)}
            works |= self._peers(images, chains)
            rates = self._rates(works, scratch)
            rates_alone = self._rates(alone, scratch)
        show(rates, unit="cases/s")
        show(rates_alone, unit="cases/s")
        return Result(
            measured=tuple(self._against(rates, peer, where) for where in PLACES for peer in PEERS),
            details={
                "cases_per_s": rates,
                "cases_per_s_of_an_operation_alone": rates_alone,
                "packages": {name: version(name) for name in ("torch", *PEERS)},
            },
        )

    def _peers(
        self, images: Float[Tensor, "case channel i j k"], chains: Mapping[str, Chain]
    ) -> dict[str, Work]:
        works: dict[str, Work] = {}
        for name, chain in chains.items():
            cases = TwoViews(images, chain, self.num_batches)
            for workers, where in ((0, HERE), (self.cores, THERE)):
                loader = batches(cases, workers=workers)
                works[f"{name}, {where}"] = partial(_use_up, loader)
        return works

    def _rates(self, works: Mapping[str, Work], scratch: Path) -> dict[str, list[float]]:
        taken_s = alternate(works, scratch, self.repetitions)
        count = self.num_cases * self.num_batches
        return {name: [count / each for each in all_s] for name, all_s in taken_s.items()}

    def _against(self, rates: Mapping[str, list[float]], peer: str, where: str) -> Measured:
        settings = [name for name in rates if name.startswith(peer) and name.endswith(where)]
        fastest = max(settings, key=lambda name: statistics.median(rates[name]))
        limit = self.goals.get(peer) if where == HERE else None
        return ratio(
            f"{peer}, {where}",
            rates[US],
            rates[fastest],
            unit=f"x the cases/s of {fastest}",
            goal=None if limit is None else Goal(side="at least", limit=limit),
        )


def our_operations(ranges: Ranges) -> list[ViewOperation]:
    """Return what the peers do, as ours."""
    return [
        Affine(
            rotation_deg=ranges.rotation_deg,
            scale=ranges.scale,
            shift=ranges.shift,
            flip=(ranges.flip,) * 3,
        ),
        IntensityShift(offset=ranges.offset, contrast=ranges.contrast, clip=None),
        Gamma(exponent=ranges.exponent),
        Blur(sigma_vox=ranges.sigma_vox),
        Noise(std=ranges.std),
    ]


def two_crops(images: Float[Tensor, "case channel i j k"], batch: int) -> Crops:
    """Return a batch as a loader stacks it: each case cut twice at the same place."""
    count = len(images)
    numbers = torch.arange(count)
    return Crops(
        image=torch.stack([images, images], dim=1),
        start=torch.zeros(count, 2, 3, dtype=torch.int64),
        axes=torch.arange(3).repeat(count, 2, 1),
        seed=(batch * count + numbers)[:, None] * 2 + torch.arange(2),
        volume=numbers,
        part=torch.zeros_like(numbers),
        subject=numbers,
        extent=torch.tensor(images.shape[2:]).repeat(count, 1),
    )


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Let torch have so many threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _view(batches: Sequence[Crops], operations: Sequence[ViewOperation], output: Path) -> None:
    for crops in batches:
        augment(crops, operations)


def _use_up(loader: torch.utils.data.DataLoader[Tensor], output: Path) -> None:
    for _ in loader:
        pass
