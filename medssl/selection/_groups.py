"""Rows by the group that they belong to."""

from collections.abc import Iterator
from typing import Literal

import numpy as np
from jaxtyping import Int

from medssl.selection import DescriptorTable

Scope = Literal["group", "all"]


def groups(table: DescriptorTable, scope: Scope) -> Iterator[Int[np.ndarray, "row"]]:
    """Yield the rows of each group, in order."""
    group = table.group if scope == "group" else np.zeros_like(table.group)
    rows = np.lexsort((table.order, group))
    borders = np.flatnonzero(np.diff(group[rows])) + 1
    starts, ends = np.append(0, borders), np.append(borders, len(rows))
    for start, end in zip(starts.tolist(), ends.tolist(), strict=True):
        yield rows[start:end]
