"""Greedy exemplars under any similarity: rows in order, block by block, against those kept.

Source: the rule of Wolf et al., CIBM 183, 2024, arXiv:2410.14524, as a stream: a row is kept
where it is near to none of those that were kept before it. Nothing is ever deleted from a list.
"""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped

from medssl.similarity._picked import Values

BLOCK_ROWS = 256  # this many rows against
TILE_ROWS = 4096  # this many exemplars at a time: bounds memory whatever there is
Prepared = tuple[np.ndarray, ...]  # arrays with a row a row: what can be computed of it once


@runtime_checkable
class Comparison(Protocol):
    """What the loops need of a similarity."""

    @property
    def floor(self) -> float:
        """Below this nothing is a near duplicate, however `between` was rounded."""
        ...

    def prepare(self, values: Shaped[np.ndarray, "row dim"]) -> Prepared:
        """Return what there is to compute of each row by itself."""
        ...

    def between(self, a: Prepared, b: Prepared) -> Float[np.ndarray, "a b"]:
        """Return how alike each of the one is to each of the other."""
        ...

    def is_near(
        self, alike: Float[np.ndarray, "row"], a: Prepared, b: Prepared
    ) -> Bool[np.ndarray, "row"]:
        """Return which are near duplicates, given how alike they came out, row by row."""
        ...


class Kept:
    """Exemplars, ready to be compared; room grows by doubling."""

    def __init__(self, like: Prepared, room: int) -> None:
        self.count = 0
        self.rows = np.empty(room, np.int64)
        self.arrays = tuple(np.empty((room, *part.shape[1:]), part.dtype) for part in like)

    def add(self, prepared: Prepared, row: int) -> None:
        """Keep one more."""
        if self.count == len(self.rows):
            self.rows = _doubled(self.rows)
            self.arrays = tuple(map(_doubled, self.arrays))
        self.rows[self.count] = row
        for mine, part in zip(self.arrays, prepared, strict=True):
            mine[self.count] = part[0]
        self.count += 1

    def tile(self, start: int) -> Prepared:
        """Return the exemplars from one on."""
        return taken(self.arrays, slice(start, min(start + TILE_ROWS, self.count)))


def exemplars(comparison: Comparison, values: Shaped[Values, "row dim"]) -> Int[np.ndarray, "row"]:
    """Return for each row the exemplar that stands for it: see `Similarity.exemplars`.

    A block of rows meets the exemplars before it at once; then the first row of the block that
    none of them stands for becomes an exemplar and meets the rest of the block, and so on.
    """
    stands_for = np.arange(len(values))
    kept = Kept(comparison.prepare(values[:1]), room=min(len(values), TILE_ROWS))
    for start in range(0, len(values), BLOCK_ROWS):
        block = comparison.prepare(values[start : start + BLOCK_ROWS])
        alike, exemplar, is_near = _nearest(comparison, block, kept)
        exemplar[~is_near] = start + np.flatnonzero(~is_near)
        while not is_near.all():
            row = int(is_near.argmin())
            one = taken(block, slice(row, row + 1))
            kept.add(one, start + row)
            is_near[row], exemplar[row], alike[row] = True, start + row, np.inf
            rest = taken(block, slice(row + 1, None))
            to_it = comparison.between(rest, one)[:, 0]
            near_it = comparison.is_near(to_it, rest, _repeated(one, len(to_it)))
            better = np.flatnonzero(near_it & (to_it > alike[row + 1 :])) + row + 1
            alike[better], exemplar[better] = to_it[better - row - 1], start + row
            is_near[row + 1 :] |= near_it
        stands_for[start : start + len(exemplar)] = exemplar
    return stands_for


def last_kept(comparison: Comparison, values: Shaped[Values, "row dim"]) -> Int[np.ndarray, "row"]:
    """Return for each row the last exemplar up to it: see `Similarity.last_kept`.

    Stretches of rows are compared with the last one, longer ones while nothing new comes.
    """
    stands_for = np.zeros(len(values), np.int64)
    last, position, stretch = 0, 1, 1
    one = comparison.prepare(values[:1])
    while position < len(values):
        block = comparison.prepare(values[position : position + stretch])
        alike = comparison.between(block, one)[:, 0]
        is_near = comparison.is_near(alike, block, _repeated(one, len(alike)))
        run = len(is_near) if is_near.all() else int(is_near.argmin())
        stands_for[position : position + run] = last
        position += run
        stretch = min(2 * stretch, BLOCK_ROWS) if run == len(is_near) else 1
        if run < len(is_near):
            last, one = position, taken(block, slice(run, run + 1))
            stands_for[position] = last
            position += 1
    return stands_for


def taken(parts: Prepared, rows: slice | Int[np.ndarray, "row"]) -> Prepared:
    """Return some rows of what was prepared."""
    return tuple(part[rows] for part in parts)


def _nearest(
    comparison: Comparison, block: Prepared, kept: Kept
) -> tuple[Float[np.ndarray, "row"], Int[np.ndarray, "row"], Bool[np.ndarray, "row"]]:
    """Return how alike the most alike near duplicate is, its row, and whether there is one."""
    count = len(block[0])
    alike = np.full(count, -np.inf)
    number = np.zeros(count, np.int64)
    is_near = np.zeros(count, bool)
    for start in range(0, kept.count, TILE_ROWS):
        tile = kept.tile(start)
        each = comparison.between(block, tile)
        place = each.argmax(axis=1)
        found = each[np.arange(count), place]
        near = comparison.is_near(found, block, taken(tile, place))
        for row in np.flatnonzero(~near & (found >= comparison.floor)).tolist():
            # So close to the limit that rounding may have put the wrong one first.
            (close,) = np.nonzero(each[row] >= comparison.floor)
            one = _repeated(taken(block, slice(row, row + 1)), len(close))
            truly = comparison.is_near(each[row, close], one, taken(tile, close))
            if truly.any():
                place[row] = close[truly][each[row, close[truly]].argmax()]
                near[row], found[row] = True, each[row, place[row]]
        better = near & (found > alike)
        number[better], alike[better] = start + place[better], found[better]
        is_near |= near
    return alike, kept.rows[number], is_near


def _repeated(one: Prepared, times: int) -> Prepared:
    return tuple(np.broadcast_to(part, (times, *part.shape[1:])) for part in one)


def _doubled(array: np.ndarray) -> np.ndarray:
    larger = np.empty((2 * len(array), *array.shape[1:]), array.dtype)
    larger[: len(array)] = array
    return larger


def equal_rows(
    a: Shaped[np.ndarray, "row dim"], b: Shaped[np.ndarray, "row dim"]
) -> Bool[np.ndarray, "row"]:
    """Return which rows are the same numbers, whatever rounding makes of comparing them."""
    return (a == b).all(axis=1)


def in_unit(
    alike: Float[np.ndarray, "row"],
    a: Shaped[np.ndarray, "row dim"],
    b: Shaped[np.ndarray, "row dim"],
) -> Float[np.ndarray, "row"]:
    """Return numbers in [0, 1], 1 for rows that are the same numbers and for no others."""
    return np.where(equal_rows(a, b), 1.0, alike.clip(0, np.nextafter(1.0, 0.0)))


def in_stretches(count: int, stretch: int) -> Sequence[slice]:
    """Return slices that cover so many rows."""
    return [slice(start, start + stretch) for start in range(0, count, stretch)]
