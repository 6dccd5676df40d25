"""Which cases are worth training on.

A selector is a frozen dataclass: its fields are its configuration, calling it maps a
`DescriptorTable` (one row a case, or a row a slice) to a `Selection`. It reads no images and
knows no manifest, so every selector runs on anything that has descriptors.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, Int, Shaped


@dataclass(frozen=True)
class DescriptorTable:
    """What a selector may look at, one row a case.

    Args:
        values: Numbers that stand for a case: vectors, or words of a hash in `uint64`.
        group: Equal where rows belong together (the slices of a case, the cases of a subject).
        order: Which row comes first where that matters, among all rows.
        target: Rows of a distribution to come close to, if any.
    """

    values: Shaped[np.ndarray, "case dim"]
    group: Int[np.ndarray, "case"]
    order: Int[np.ndarray, "case"]
    target: Shaped[np.ndarray, "wanted dim"] | None = None

    def __len__(self) -> int:
        return len(self.values)


@dataclass(frozen=True)
class Selection:
    """What was kept, and in favor of what the rest was dropped.

    Args:
        kept: Row numbers, unique and ascending.
        stands_for: For each row the kept row that stands for it; a kept row is its own.
        similarity: Between the two, in [0, 1]; 1 is equality.
    """

    kept: Int[np.ndarray, "kept"]
    stands_for: Int[np.ndarray, "case"]
    similarity: Float[np.ndarray, "case"]


@runtime_checkable
class Selector(Protocol):
    """Keeps some rows of a descriptor table; `takes` says of which kind of values."""

    takes: ClassVar[Literal["vector", "hash", "any"]]

    def __call__(self, table: DescriptorTable) -> Selection:
        """Return what is kept, at least one row."""
        ...
