"""Which cases are worth training on.

A selector is a frozen dataclass: its fields are its configuration, calling it maps a
`DescriptorTable` (one row a case, or a row a slice) to a `Selection`. It reads no images and
knows no manifest, so every selector runs on anything that has descriptors.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, Int, Shaped

from medssl.errors import DataError
from medssl.similarity import Kind, Knob
from medssl.similarity._picked import Values, picked

AT_ONCE = 1 << 14  # rows that are looked through at a time
NOBODY = -1  # stands for a row that is dropped on its own account


@dataclass(frozen=True)
class DescriptorTable:
    """What a selector may look at, one row a case.

    Args:
        values: Numbers that stand for a case: vectors, images, or words of a hash in `uint64`.
        group: Equal where rows belong together (the slices of a case, the cases of a subject).
        order: Which row comes first where that matters, among all rows.
        target: Rows of a distribution to come close to, if any.
        stratum: The number of the stratum that a row is of, if there are strata.
        strata: Their names, by number.
    """

    values: Shaped[Values, "case dim"]
    group: Int[np.ndarray, "case"]
    order: Int[np.ndarray, "case"]
    target: Shaped[np.ndarray, "wanted dim"] | None = None
    stratum: Int[np.ndarray, "case"] | None = None
    strata: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name, rows in (("", self.values), ("target ", self.target)):
            if rows is not None and not len(rows):
                msg = f"expected descriptors of at least one {name}row, got none"
                raise DataError(msg)
            if rows is not None and len(bad := _not_finite(rows)):
                msg = (
                    f"{len(bad)} of {len(rows)} {name}rows hold numbers that are not finite, such "
                    f"as row {bad[0]}; look at what described them, or leave those cases out"
                )
                raise DataError(msg)

    def __len__(self) -> int:
        return len(self.values)

    def values_of(self, rows: Int[np.ndarray, "some"]) -> Shaped[Values, "some dim"]:
        """Return the values of some rows: no copy of rows that follow one another, nor of many.

        So rows that lie in a file stay there until they are looked at.
        """
        return picked(self.values, rows)

    def take(self, rows: Int[np.ndarray, "some"]) -> "DescriptorTable":
        """Return the table of some rows."""
        return replace(
            self,
            values=self.values_of(rows),
            group=self.group[rows],
            order=self.order[rows],
            stratum=None if self.stratum is None else self.stratum[rows],
        )


def _not_finite(rows: Shaped[Values, "row dim"]) -> Int[np.ndarray, "bad"]:
    """Return which rows hold a number that is not finite, a stretch at a time."""
    if rows.dtype.kind != "f":
        return np.empty(0, np.int64)
    is_finite = [
        np.isfinite(rows[start : start + AT_ONCE]).all(axis=1)
        for start in range(0, len(rows), AT_ONCE)
    ]
    return np.flatnonzero(~np.concatenate(is_finite))


@dataclass(frozen=True)
class Selection:
    """What was kept, and in favor of what the rest was dropped.

    Args:
        kept: Row numbers, unique and ascending.
        stands_for: For each row the kept row that stands for it; a kept row is its own. `NOBODY`
            where a row was dropped for what it is, not for what else there is.
        similarity: Between the two, in [0, 1]; 1 is equality; NaN if nobody stands for it.
        numbers: What else there is to say of how it came about, by name.
        curves: The same, for numbers that change on the way.
    """

    kept: Int[np.ndarray, "kept"]
    stands_for: Int[np.ndarray, "case"]
    similarity: Float[np.ndarray, "case"]
    numbers: Mapping[str, float] = field(default_factory=dict)
    curves: Mapping[str, Float[np.ndarray, "step"]] = field(default_factory=dict)


@runtime_checkable
class Selector(Protocol):
    """Keeps some rows of a descriptor table."""

    @property
    def takes(self) -> tuple[Kind, ...]:
        """Of which kinds of values."""
        ...

    @property
    def is_by_group(self) -> bool:
        """Whether each group is decided on by itself, so that they may be decided on apart."""
        ...

    def __call__(self, table: DescriptorTable) -> Selection:
        """Return what is kept, at least one row."""
        ...


@runtime_checkable
class Tunable(Selector, Protocol):
    """A selector with a limit: the higher it is, the more rows are kept."""

    def knob(self, table: DescriptorTable) -> Knob:
        """Return where the limit can be set."""
        ...

    def at(self, level: float) -> "Tunable":
        """Return the same with its limit elsewhere."""
        ...


@runtime_checkable
class Pairwise(Selector, Protocol):
    """A selector that compares rows with each other."""

    def pairs_in_scope(self, table: DescriptorTable, number: int) -> Float[np.ndarray, "pair"]:
        """Return how alike so many pairs are that it might compare, drawn at random."""
        ...


@runtime_checkable
class Wrapping(Protocol):
    """A selector around another one, which it sets."""

    @property
    def selector(self) -> Selector:
        """The other one."""
        ...


@runtime_checkable
class Budgeted(Selector, Protocol):
    """A selector that is told how many rows to keep."""

    @property
    def fraction(self) -> float:
        """Share of the rows to keep, if no number is given."""
        ...

    @property
    def budget(self) -> int | None:
        """Rows to keep, if a number is given."""
        ...

    def keeping(self, budget: int) -> "Budgeted":
        """Return the same with another number of rows to keep."""
        ...
