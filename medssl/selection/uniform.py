"""Uniform: keep a share of the rows at random, the baseline that every selector has to beat.

Source: none.
"""

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from medssl.selection import DescriptorTable, Selection, _budget
from medssl.selection._likeness import likeness
from medssl.similarity import Kind

__all__ = ["Uniform"]


@dataclass(frozen=True, kw_only=True)
class Uniform:
    """A draw without replacement; no descriptor decides, and groups play no part.

    What stands for a row is the last one kept before it in order, or the first after it where
    there is none: that is a place and no claim. The similarity says how well it represents the
    row: the share of equal bits of hashes, 1 / (1 + distance) of other rows.

    Args:
        fraction: Share of the rows to keep, in (0, 1]; at least one is kept.
        budget: Rows to keep, instead of a share.
        seed: Chooses them.
    """

    takes: ClassVar[tuple[Kind, ...]] = ("vector", "hash", "image", "content")
    is_by_group: ClassVar[bool] = False

    fraction: float = 0.1
    budget: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        _budget.check(self.fraction, self.budget)

    def keeping(self, budget: int) -> "Uniform":
        """Return it with another budget."""
        return replace(self, budget=budget)

    def __call__(self, table: DescriptorTable) -> Selection:
        """Return the drawn rows and for each row the drawn one next to it in order."""
        rows = np.argsort(table.order, kind="stable")
        budget = _budget.rows_to_keep(self.fraction, self.budget, len(rows))
        drawn = np.random.default_rng(self.seed).choice(len(rows), size=budget, replace=False)
        places = np.sort(drawn)
        before = np.searchsorted(places, np.arange(len(rows)), side="right") - 1
        stands_for = np.empty(len(rows), dtype=np.int64)
        stands_for[rows] = rows[places[before.clip(min=0)]]
        return Selection(np.sort(rows[places]), stands_for, likeness(table.values, stands_for))
