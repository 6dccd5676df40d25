"""All: keep every row, the arm that a reduction is compared with.

Source: Wolf et al., CIBM 183, 2024, arXiv:2410.14524; the arm ALL.
Departs from the paper: nowhere.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from medssl.selection import DescriptorTable, Selection
from medssl.similarity import Kind

__all__ = ["All"]


@dataclass(frozen=True, kw_only=True)
class All:
    """Keeps what there is."""

    takes: ClassVar[tuple[Kind, ...]] = ("vector", "hash", "image", "content")
    is_by_group: ClassVar[bool] = True

    def __call__(self, table: DescriptorTable) -> Selection:
        """Return all rows, each for itself."""
        rows = np.arange(len(table))
        return Selection(rows, rows.copy(), np.ones(len(table)))
