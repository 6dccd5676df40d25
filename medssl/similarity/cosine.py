"""Cosine: the cosine of the angle between two vectors.

Source: Wolf et al., CIBM 183, 2024, arXiv:2410.14524; the arm DeepNet, whose exact choices are
not published.
Departs from the paper: unknown.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
from jaxtyping import Bool, Float, Float32, Int, Shaped

from medssl.errors import DataError
from medssl.similarity import Kind, Knob
from medssl.similarity._greedy import (
    Prepared,
    equal_rows,
    exemplars,
    in_stretches,
    in_unit,
    last_kept,
)
from medssl.similarity._limit import SHARES, check_least
from medssl.similarity._picked import Values

__all__ = ["Cosine"]

MOST_NUMBERS = 4096  # of a vector
ROUNDING = MOST_NUMBERS * 2.0**-24  # a product of float32 is off by a unit of rounding a summand
AT_ONCE = 1 << 21  # numbers in float64 at a time: bounds memory


@dataclass(frozen=True, kw_only=True)
class Cosine:
    """Vectors by their directions; below 0, which is opposite, similarity is 0.

    Products are of float32; where one is so close to the limit that rounding might decide, it
    is computed anew in float64. So what is kept does not depend on how rows are put together.

    Args:
        least: From which cosine on two vectors are near duplicates.
    """

    takes: ClassVar[Kind] = "vector"

    least: float = 0.95

    def __post_init__(self) -> None:
        check_least(self.least)

    @property
    def floor(self) -> float:
        """Below this no product is near, however rounded."""
        return self.least - ROUNDING

    def knob(self, dim: int) -> Knob:
        """Return the knob."""
        return SHARES

    def at(self, level: float) -> "Cosine":
        """Return it with another limit."""
        return replace(self, least=level)

    def pairs(
        self, a: Shaped[np.ndarray, "row dim"], b: Shaped[np.ndarray, "row dim"]
    ) -> Float[np.ndarray, "row"]:
        """Return the cosines of vectors row by row, at least 0."""
        exact = _exact(directions(a), directions(b))
        return in_unit(exact, a, b)

    def check(self, values: Shaped[Values, "row dim"]) -> None:
        """Refuse rows that have no direction."""
        lengths(values)

    def exemplars(self, values: Shaped[Values, "row dim"]) -> Int[np.ndarray, "row"]:
        """Return for each row the exemplar that stands for it."""
        self.check(values)
        return exemplars(self, values)

    def last_kept(self, values: Shaped[Values, "row dim"]) -> Int[np.ndarray, "row"]:
        """Return for each row the last exemplar up to it."""
        self.check(values)
        return last_kept(self, values)

    def prepare(self, values: Shaped[np.ndarray, "row dim"]) -> Prepared:
        """Return the directions."""
        return (directions(values),)

    def between(self, a: Prepared, b: Prepared) -> Float32[np.ndarray, "a b"]:
        """Return all products."""
        product: np.ndarray = a[0] @ b[0].T
        return product

    def is_near(
        self, alike: Float[np.ndarray, "row"], a: Prepared, b: Prepared
    ) -> Bool[np.ndarray, "row"]:
        """Return which are near duplicates."""
        near = alike >= self.least
        (close,) = np.nonzero(np.abs(alike - self.least) <= ROUNDING)
        near[close] = _exact(a[0][close], b[0][close]) >= self.least
        return near


class Directions:
    """Rows as vectors of length 1, computed when they are looked at.

    Args:
        values: The rows.

    Raises:
        DataError: If one has no direction, or they are too long for the bound on rounding.
    """

    def __init__(self, values: Shaped[Values, "row dim"]) -> None:
        self.values, self.lengths = values, lengths(values)

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, rows: slice | Int[np.ndarray, "some"]) -> Float32[np.ndarray, "some dim"]:
        if isinstance(rows, slice):
            rows = np.arange(*rows.indices(len(self)))
        toward = np.empty((len(rows), self.values.shape[1]), np.float32)
        for part in _stretches(toward):
            some = rows[part]
            toward[part] = self.values[some] / self.lengths[some, None]
        return toward


def directions(values: Shaped[Values, "row dim"]) -> Float32[np.ndarray, "row dim"]:
    """Return vectors of length 1, as `Directions` does."""
    return Directions(values)[:]


def lengths(values: Shaped[Values, "row dim"]) -> Float[np.ndarray, "row"]:
    """Return the lengths of vectors, none of which is 0.

    Raises:
        DataError: If one is, or they are too long for the bound on rounding.
    """
    if values.shape[1] > MOST_NUMBERS:
        msg = (
            f"expected vectors of at most {MOST_NUMBERS} numbers, got {values.shape[1]}; describe "
            "cases by an encoder with a narrower last map"
        )
        raise DataError(msg)
    found = np.empty(len(values))
    for part in _stretches(values):
        found[part] = np.linalg.norm(values[part].astype(np.float64), axis=1)
    if not (found > 0).all():
        rows = np.flatnonzero(found == 0).tolist()
        msg = (
            f"{len(rows)} of {len(values)} vectors are zero and have no direction, such as row "
            f"{rows[0]}; look at what described them, or leave those cases out"
        )
        raise DataError(msg)
    return found


def _stretches(values: Shaped[Values, "row dim"]) -> Sequence[slice]:
    return in_stretches(len(values), max(1, AT_ONCE // max(1, values.shape[1])))


def _exact(
    a: Float32[np.ndarray, "row dim"], b: Float32[np.ndarray, "row dim"]
) -> Float[np.ndarray, "row"]:
    """Return cosines in float64, 1 where the directions are the same numbers."""
    products = np.einsum("rd,rd->r", a, b, dtype=np.float64)
    lengths = [np.sqrt(np.einsum("rd,rd->r", one, one, dtype=np.float64)) for one in (a, b)]
    return np.where(equal_rows(a, b), 1.0, products / (lengths[0] * lengths[1]))
