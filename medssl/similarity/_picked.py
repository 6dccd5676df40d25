"""Some rows of an array, left where they lie, perhaps in a file, until they are looked at."""

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
from jaxtyping import Int, Shaped

COPIED = 1 << 26  # bytes of rows that are rather copied at once than gathered at each look


class Picked:
    """Rows in an order of their own; what is looked at is gathered, and is an array.

    Args:
        source: All rows.
        rows: Which of them.
    """

    def __init__(
        self, source: Shaped[np.ndarray, "row dim"], rows: Int[np.ndarray, "picked"]
    ) -> None:
        self.source, self.rows = source, rows

    @property
    def shape(self) -> tuple[int, ...]:
        """How many rows there are, and of how many numbers."""
        return len(self.rows), *self.source.shape[1:]

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of which type the numbers are."""
        return self.source.dtype

    @property
    def itemsize(self) -> int:
        """How many bytes a number has."""
        return self.source.itemsize

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, rows: Any) -> np.ndarray:
        found: np.ndarray = self.source[self.rows[rows]]
        return found

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        return np.asarray(self.source[self.rows], dtype)

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[np.ndarray]]:
        # Whoever is sent them gets these rows, and not the file that they lie in.
        return np.asarray, (np.asarray(self),)


Values: TypeAlias = np.ndarray | Picked


def picked(
    values: Shaped[Values, "row dim"], rows: Int[np.ndarray, "some"]
) -> Shaped[Values, "some dim"]:
    """Return some rows: no copy of rows that follow one another, nor of many."""
    source: np.ndarray
    if isinstance(values, Picked):
        source, rows = values.source, values.rows[rows]
    else:
        source = values
    if len(rows) and np.array_equal(rows, np.arange(rows[0], rows[0] + len(rows))):
        return source[rows[0] : rows[0] + len(rows)]
    if len(rows) * source.shape[1] * source.itemsize <= COPIED:
        return source[rows]
    return Picked(source, rows)
