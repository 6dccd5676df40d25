"""Every n-th: keep the rows 0, n, 2n, ... of each group.

Source: Wolf et al., "Less is More: Selective reduction of CT data for self-supervised
pre-training of deep learning models with contrastive learning improves downstream
classification performance", CIBM 183, 2024, arXiv:2410.14524; the arm EveryN.
Departs from the paper: n is not published.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from medssl.selection import DescriptorTable, Selection
from medssl.selection._likeness import likeness

__all__ = ["EveryN"]


@dataclass(frozen=True, kw_only=True)
class EveryN:
    """Regular steps through each group, in order; no descriptor decides.

    What stands for a row is the last one kept before it, and the similarity says how well: the
    share of equal bits of hashes, 1 / (1 + distance) of vectors.

    Args:
        n: How far apart kept rows are; 1 keeps all.
    """

    takes: ClassVar[Literal["vector", "hash", "any"]] = "any"

    n: int = 10

    def __post_init__(self) -> None:
        if self.n < 1:
            msg = f"n must be at least 1, got {self.n}"
            raise ValueError(msg)

    def __call__(self, table: DescriptorTable) -> Selection:
        """Return every n-th row of each group and for each row the last kept one up to it."""
        rows = np.lexsort((table.order, table.group))
        group = table.group[rows]
        first = np.searchsorted(group, group)
        position = np.arange(len(rows)) - first
        stands_for = np.empty(len(rows), dtype=np.int64)
        stands_for[rows] = rows[first + position // self.n * self.n]
        kept = np.unique(stands_for)
        return Selection(kept, stands_for, likeness(table.values, table.values[stands_for]))
