"""How long the cells of a study take: one of each step first, so that the rest can be told."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from pipelines._cells import Cell


def one_of_each_first(cells: Sequence[Cell]) -> tuple[list[Cell], list[Cell]]:
    """Return the first cell of each step, and the others, both in their order.

    A step that needs more than first cells has no cell among the first.
    """
    first: dict[str, Cell] = {}
    for cell in cells:
        if cell.step not in first and all(first.get(c.step) is c for c in cell.inputs):
            first[cell.step] = cell
    chosen = list(first.values())
    return chosen, [cell for cell in cells if first.get(cell.step) is not cell]


@dataclass(frozen=True)
class Pace:
    """What cells took, by their step."""

    measured_s: dict[str, list[float]] = field(default_factory=dict)

    def add(self, cell: Cell, elapsed_s: float) -> None:
        """Note what a cell took."""
        self.measured_s.setdefault(cell.step, []).append(elapsed_s)

    def mean_s(self, step: str) -> float | None:
        """Return what a cell of a step takes in the mean, None before the first."""
        measured = self.measured_s.get(step)
        return float(np.mean(measured)) if measured else None

    def table(self, cells: Sequence[Cell], waiting: Sequence[Cell]) -> str:
        """Return a line a step: its cells, the measured seconds of one, how long the rest takes."""
        number, rest = (Counter(cell.step for cell in some) for some in (cells, waiting))
        means_s = {step: self.mean_s(step) for step in number}
        width = max(map(len, number))
        lines = [f"{'step':{width}}  cells  s a cell  left"]
        for step, mean_s in means_s.items():
            a_cell = "unknown" if mean_s is None else f"{mean_s:.1f}"
            left = a_cell if mean_s is None else in_words(rest[step] * mean_s)
            lines.append(f"{step:{width}}  {number[step]:5}  {a_cell:>8}  {left}")
        total_s = sum(rest[step] * mean_s for step, mean_s in means_s.items() if mean_s is not None)
        unknown = [step for step, mean_s in means_s.items() if mean_s is None]
        beside = f", beside {', '.join(unknown)}" if unknown else ""
        return "\n".join([*lines, f"about {in_words(total_s)} left{beside}"])


def in_words(seconds: float) -> str:
    """Return seconds, minutes or hours, as people say how long something takes."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
