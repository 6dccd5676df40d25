"""Near duplicates among a million hashes, against numpy block by block and a list that shrinks.

All of the rows are one scope, so nothing can be divided: the hardest case. The same synthetic
hashes for all, which are skewed as those of CT are and walk from slice to slice. Ours runs first
on each, so what the others find is compared with it: the exemplar of every row (numpy), the rows
that are kept (the list). Memory is that of a process of its own, hashes included.
"""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from matplotlib.figure import Figure

from medssl.errors import ConfigError, DataError
from medssl.similarity.hamming import Hamming
from pipelines.benches import Goal, Measured, Result
from pipelines.benches._measuring import on_cores, ratio, show
from pipelines.benches._near_duplicates import by_blocks, deleting, walking_hashes

__all__ = ["HashSelection"]

T = TypeVar("T")
CHILD = "pipelines.benches._near_duplicates_child"
FIGURE = "hash_selection.png"


@dataclass(frozen=True, kw_only=True)
class HashSelection:
    """Measures it.

    Args:
        radius: Most bits in which near duplicates differ.
        rows: Hashes of the comparison with numpy.
        list_rows: Hashes of the comparison with the list.
        curve: Numbers of hashes to draw time and memory for, ascending.
        repetitions: How often ours is timed, and the list; numpy, which takes minutes, once.
        cores: How many all run on.
        faster_than_numpy: How many times numpy's rows a second ours should be.
        faster_than_list: How many times the list's rows a second ours should be.
        most_gib: What the largest number may take.
    """

    radius: int = 6
    rows: int = 1_000_000
    list_rows: int = 20_000
    curve: tuple[int, ...] = (10_000, 100_000, 1_000_000, 10_000_000)
    repetitions: int = 3
    cores: int = 2
    faster_than_numpy: float = 5.0
    faster_than_list: float = 500.0
    most_gib: float = 2.0

    def __post_init__(self) -> None:
        counts = (self.rows, self.list_rows, self.repetitions, self.cores, *self.curve)
        if min(counts) < 1 or list(self.curve) != sorted(set(self.curve)):
            msg = f"expected counts of at least 1 and an ascending curve, got {counts}"
            raise ConfigError(msg)

    def __call__(self, folder: Path) -> Result:
        """Compare what is found, then time."""
        ours = Hamming(radius=self.radius)
        ours.exemplars(walking_hashes(5_000))  # has the loops compiled
        with on_cores(self.cores):
            against_list, list_s = self._against_list(ours)
            against_numpy, numpy_s = self._against_numpy(ours)
            points = [self._point(rows) for rows in self.curve]
        draw(points, folder / FIGURE)
        show({f"{point['rows']:.0e} hashes": [point["taken_s"]] for point in points}, unit="s")
        largest = points[-1]["peak_bytes"] / 2**30
        return Result(
            measured=(
                *self._curve(points),
                against_list,
                Measured(
                    name="memory",
                    value=largest,
                    low=largest,
                    high=largest,
                    unit=f"GiB at {self.curve[-1]} hashes",
                    goal=Goal(side="at most", limit=self.most_gib),
                ),
                against_numpy,
            ),
            details={"curve": points, "list_s": list_s, "numpy_s": numpy_s},
            figures=(FIGURE,),
        )

    def _against_list(self, ours: Hamming) -> tuple[Measured, dict[str, list[float]]]:
        hashes = walking_hashes(self.list_rows)
        theirs = deleting(hashes, self.radius)
        taken: dict[str, list[float]] = {"medssl": [], "list": []}
        for _ in range(self.repetitions):
            exemplar = timed(lambda: ours.exemplars(hashes), taken["medssl"])
            kept = timed(theirs, taken["list"])
            check_equal("the list", np.flatnonzero(exemplar == np.arange(len(hashes))), kept)
        goal = Goal(side="at least", limit=self.faster_than_list)
        unit = f"x as fast as the list-deleting loop on {self.list_rows} hashes"
        return ratio("list", taken["list"], taken["medssl"], unit=unit, goal=goal), taken

    def _against_numpy(self, ours: Hamming) -> tuple[Measured, dict[str, list[float]]]:
        hashes = walking_hashes(self.rows)
        taken: dict[str, list[float]] = {"medssl": [], "numpy": []}
        for _ in range(self.repetitions):
            exemplar = timed(lambda: ours.exemplars(hashes), taken["medssl"])
        theirs = timed(lambda: by_blocks(hashes, self.radius), taken["numpy"])
        check_equal("numpy", exemplar, theirs)
        goal = Goal(side="at least", limit=self.faster_than_numpy)
        unit = f"x as fast as numpy block by block on {self.rows} hashes"
        peer = taken["numpy"] * len(taken["medssl"])
        return ratio("numpy", peer, taken["medssl"], unit=unit, goal=goal), taken

    def _point(self, rows: int) -> dict[str, float]:
        words = [sys.executable, "-m", CHILD, "hashes", str(rows), str(self.radius)]
        done = subprocess.run(words, capture_output=True, text=True, check=True)
        return {"rows": rows, **json.loads(done.stdout)}

    def _curve(self, points: Sequence[dict[str, float]]) -> list[Measured]:
        found = []
        for point in points:
            speed = point["rows"] / point["taken_s"]
            name, unit = f"rows_{point['rows']:.0e}", f"hashes/s, {point['kept']:.0f} kept"
            found.append(Measured(name=name, value=speed, low=speed, high=speed, unit=unit))
        return found


def timed(work: Callable[[], T], taken_s: list[float]) -> T:
    """Return what work returns, and note the seconds that it took."""
    start = time.perf_counter()
    result = work()
    taken_s.append(time.perf_counter() - start)
    return result


def check_equal(peer: str, ours: np.ndarray, theirs: np.ndarray) -> None:
    """Refuse to compare times of unequal results.

    Raises:
        DataError: If they are.
    """
    if not np.array_equal(ours, theirs):
        msg = f"medssl and {peer} do not find the same ({len(ours)} and {len(theirs)} rows)"
        raise DataError(msg)


def draw(points: Sequence[dict[str, float]], path: Path) -> None:
    """Draw seconds and memory over the number of hashes."""
    figure = Figure(figsize=(9, 4), layout="constrained")
    time_axes, memory_axes = figure.subplots(1, 2)
    rows = [point["rows"] for point in points]
    time_axes.loglog(rows, [point["taken_s"] for point in points], marker="o")
    time_axes.set(xlabel="hashes", ylabel="seconds", title="time")
    memory_axes.semilogx(rows, [point["peak_bytes"] / 2**20 for point in points], marker="o")
    memory_axes.set(xlabel="hashes", ylabel="MiB", title="peak memory", ylim=(0, None))
    figure.savefig(path, dpi=100)
