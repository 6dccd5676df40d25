"""Calibrated: set a selector's limit so that it keeps the share that is asked for.

Source: none; bisection. What greedy selectors keep grows with the limit, but not strictly, so
the nearest of all that was tried counts.
"""

import math
from dataclasses import dataclass, replace
from typing import cast

from medssl.errors import ConfigError
from medssl.selection import Budgeted, DescriptorTable, Selection, Selector, Tunable, _budget
from medssl.selection.near_duplicates import NearDuplicates
from medssl.similarity import Kind

__all__ = ["Calibrated"]

BY_HASH = NearDuplicates()
MOST_TRIALS = 24
NEAR_ENOUGH = 1e-3  # of the rows that are asked for


@dataclass(frozen=True, kw_only=True)
class Calibrated:
    """Another selector, at the limit that keeps as many rows as asked.

    It comes as near as limits can be told apart, or to a thousandth. Numbers say where that is:
    `level`, the limit as the selector's knob has it (a radius as a negative number, of every_n
    the share), and `missed_rows`, how many more or fewer than asked are kept. A selector with a
    budget is given that; it misses rows where none is left that it may keep.

    Args:
        selector: Whose limit or budget is set.
        fraction: Share of the rows to keep, in (0, 1].
        budget: Rows to keep, instead of a share.
    """

    selector: Selector = BY_HASH
    fraction: float = 0.5
    budget: int | None = None

    def __post_init__(self) -> None:
        _budget.check(self.fraction, self.budget)
        if not isinstance(self.selector, Tunable | Budgeted):
            msg = (
                f"{type(self.selector).__name__} has no limit and no budget that could be set; "
                "calibrate another selector"
            )
            raise ConfigError(msg)

    @property
    def takes(self) -> tuple[Kind, ...]:
        """What the selector takes."""
        return self.selector.takes

    @property
    def is_by_group(self) -> bool:
        """Never: the limit is one for all."""
        return False

    def keeping(self, budget: int) -> "Calibrated":
        """Return it with another budget."""
        return replace(self, budget=budget)

    def __call__(self, table: DescriptorTable) -> Selection:
        """Return what the selector keeps at that limit."""
        wanted = _budget.rows_to_keep(self.fraction, self.budget, len(table))
        if isinstance(self.selector, Budgeted):
            found = self.selector.keeping(wanted)(table)
            missed = float(len(found.kept) - wanted)
            return replace(found, numbers={**found.numbers, "missed_rows": missed})
        return _bisect(cast(Tunable, self.selector), table, wanted)


def _bisect(selector: Tunable, table: DescriptorTable, wanted: int) -> Selection:
    knob = selector.knob(table)
    low, high, step = knob.low, knob.high, float(knob.is_whole)
    trials: list[tuple[int, float, Selection]] = []
    while low <= high and len(trials) < MOST_TRIALS:
        level = math.floor((low + high) / 2) if knob.is_whole else (low + high) / 2
        found = selector.at(level)(table)
        missed = len(found.kept) - wanted
        trials.append((missed, level, found))
        if abs(missed) <= wanted * NEAR_ENOUGH:
            break
        low, high = (level + step, high) if missed < 0 else (low, level - step)
    missed, level, found = min(trials, key=lambda trial: abs(trial[0]))
    numbers = {**found.numbers, "level": float(level), "missed_rows": float(missed)}
    return replace(found, numbers=numbers)
