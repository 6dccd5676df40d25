"""Every n-th: keep the rows 0, n, 2n, ... of each group.

Source: Wolf et al., "Less is More: Selective reduction of CT data for self-supervised
pre-training of deep learning models with contrastive learning improves downstream
classification performance", CIBM 183, 2024, arXiv:2410.14524; the arm EveryN.
Departs from the paper: n is not published, and need not be whole here, so that any share can be
kept; a group without rows keeps none, but a table without rows is refused, as by every selector.
"""

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from medssl.selection import DescriptorTable, Selection
from medssl.selection._groups import groups
from medssl.selection._likeness import likeness
from medssl.similarity import Kind, Knob

__all__ = ["EveryN"]


@dataclass(frozen=True, kw_only=True)
class EveryN:
    """Regular steps through each group, in order; no descriptor decides.

    What stands for a row is the last one kept before it, and the similarity says how well: the
    share of equal bits of hashes, 1 / (1 + distance) of other rows.

    Args:
        n: How far apart kept rows are, on average if it is not whole; 1 keeps all.
    """

    takes: ClassVar[tuple[Kind, ...]] = ("vector", "hash", "image", "content")
    is_by_group: ClassVar[bool] = True

    n: float = 10

    def __post_init__(self) -> None:
        if not self.n >= 1:
            msg = f"n must be at least 1, got {self.n}"
            raise ValueError(msg)

    def knob(self, table: DescriptorTable) -> Knob:
        """Return the knob: the share that is kept."""
        return Knob(1 / len(table), 1.0)

    def at(self, level: float) -> "EveryN":
        """Return it with steps for that share."""
        return replace(self, n=1 / level)

    def __call__(self, table: DescriptorTable) -> Selection:
        """Return every n-th row of each group and for each row the last kept one up to it."""
        stands_for = np.empty(len(table), np.int64)
        for rows in groups(table, "group"):
            step = np.floor(np.arange(len(rows)) / self.n)
            stands_for[rows] = rows[np.searchsorted(step, step)]
        return Selection(np.unique(stands_for), stands_for, likeness(table.values, stands_for))
