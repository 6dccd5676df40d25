"""How much better or worse than a peer or a limit is it? A bench measures and says.

A bench is a file here that defines one class: keyword-only arguments from the config, goals
among them, and a call that does the work, may leave figures in the folder that it is given, and
returns what it measured. Files with `_` are what benches share.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol


@dataclass(frozen=True, kw_only=True)
class Goal:
    """A limit that a measured value keeps or misses."""

    side: Literal["at least", "at most"]
    limit: float

    def is_met_by(self, value: float) -> bool:
        """Return whether the value keeps the limit; no number keeps none."""
        return value >= self.limit if self.side == "at least" else value <= self.limit


@dataclass(frozen=True, kw_only=True)
class Measured:
    """One number that was measured several times.

    Args:
        name: What it is called, among what this bench measures.
        value: The median of the repetitions.
        low: The smallest.
        high: The largest.
        unit: What it counts.
        goal: What it should be, if anything.
    """

    name: str
    value: float
    low: float
    high: float
    unit: str
    goal: Goal | None = None

    @property
    def is_short(self) -> bool:
        """Whether it misses its goal."""
        return self.goal is not None and not self.goal.is_met_by(self.value)

    @property
    def line(self) -> str:
        """What a person reads of it."""
        goal = "no goal" if self.goal is None else f"goal {self.goal.side} {self.goal.limit:g}"
        missed = ", missed" if self.is_short else ""
        spread = f"{self.low:.3g} to {self.high:.3g}"
        return f"{self.name}: {self.value:.3g} {self.unit} ({goal}{missed}; {spread})"


@dataclass(frozen=True, kw_only=True)
class Result:
    """What a bench found.

    Args:
        measured: With the one that matters most at the end.
        details: What they were computed from, as JSON holds it.
        figures: Pictures, by their names in the folder.
    """

    measured: tuple[Measured, ...]
    details: Mapping[str, Any] = field(default_factory=dict)
    figures: tuple[str, ...] = ()


class Bench(Protocol):
    """Measures."""

    def __call__(self, folder: Path) -> Result:
        """Return what was measured; pictures, if any, are in the folder."""
        ...
