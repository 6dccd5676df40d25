"""Near duplicates: drop a row whose hash is within a few bits of a kept one's.

Source: Wolf et al., "Less is More: Selective reduction of CT data for self-supervised
pre-training of deep learning models with contrastive learning improves downstream
classification performance", CIBM 183, 2024, arXiv:2410.14524; the arm HASH at radius 6.
Code: Wolfda95/Less_is_More@c3ca90d.
Departs from the code: rows come in the order they are given, not in that of file names as
text; what stands for a dropped row is the nearest of the exemplars before it, not the first
within the radius, which leaves what is kept as it is.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from jaxtyping import Int, Shaped, UInt64

from medssl.errors import DataError
from medssl.selection import DescriptorTable, Selection

__all__ = ["NearDuplicates"]

WORD_BITS = 64
BLOCK_ROWS = 256  # this many against that many exemplars: a tile stays in a processor's cache
TILE_EXEMPLARS = 4096


@dataclass(frozen=True, kw_only=True)
class NearDuplicates:
    """Greedy exemplars under the Hamming distance; similarity is the share of equal bits.

    A row becomes an exemplar where no exemplar before it, in `order`, is within the radius:
    kept rows differ by more than the radius, and each dropped one is within it of a kept one.

    Args:
        radius: Most bits in which a row differs from the exemplar that stands for it.
        scope: Whether duplicates are sought within a `group` or among `all` rows.
    """

    takes: ClassVar[Literal["vector", "hash", "any"]] = "hash"

    radius: int = 6
    scope: Literal["group", "all"] = "group"

    def __post_init__(self) -> None:
        if self.radius < 0:
            msg = f"radius must be at least 0, got {self.radius}"
            raise ValueError(msg)

    def __call__(self, table: DescriptorTable) -> Selection:
        """Return the exemplars and for each row the nearest, of equals the first, of them."""
        hashes = table.values
        if hashes.dtype != np.uint64:
            msg = f"NearDuplicates takes hashes in uint64, got values in {hashes.dtype}"
            raise DataError(msg)
        stands_for = np.arange(len(hashes))
        differing = np.zeros(len(hashes), dtype=np.int64)
        for rows in scopes(table, self.scope):
            exemplar, bits = exemplars(hashes[rows], self.radius)
            stands_for[rows], differing[rows] = rows[exemplar], bits
        kept = np.flatnonzero(stands_for == np.arange(len(hashes)))
        return Selection(kept, stands_for, 1 - differing / (WORD_BITS * hashes.shape[1]))


def scopes(
    table: DescriptorTable, scope: Literal["group", "all"]
) -> Iterator[Int[np.ndarray, "row"]]:
    """Yield the rows that are compared with each other, in order, unless there is but one."""
    group = table.group if scope == "group" else np.zeros_like(table.group)
    rows = np.lexsort((table.order, group))
    borders = np.flatnonzero(np.diff(group[rows])) + 1
    starts, ends = np.append(0, borders), np.append(borders, len(rows))
    for start, end in zip(starts.tolist(), ends.tolist(), strict=True):
        if end - start > 1:
            yield rows[start:end]


def exemplars(
    hashes: Shaped[np.ndarray, "row word"], radius: int
) -> tuple[Int[np.ndarray, "row"], Int[np.ndarray, "row"]]:
    """Return for each hash the exemplar that stands for it, itself or one before, and the bits.

    A block of rows meets the exemplars before it at once; then the first row of the block
    that none of them stands for becomes an exemplar and meets the rest of the block, and so on.
    """
    hashes = np.ascontiguousarray(hashes)
    known = np.empty_like(hashes)
    rows_of_known = np.empty(len(hashes), dtype=np.int64)
    num_known = 0
    exemplar = np.arange(len(hashes))
    differing = np.zeros(len(hashes), dtype=np.int64)
    for start in range(0, len(hashes), BLOCK_ROWS):
        block = hashes[start : start + BLOCK_ROWS]
        bits, place = nearest(block, known[:num_known])
        number = rows_of_known[place]
        undecided = bits > radius
        while undecided.any():
            row = int(undecided.argmax())
            known[num_known], rows_of_known[num_known] = block[row], start + row
            num_known += 1
            to_it = hamming(block[row:], block[row : row + 1])[:, 0]
            nearer = np.flatnonzero(to_it < bits[row:]) + row
            bits[nearer], number[nearer] = to_it[nearer - row], start + row
            undecided[row:] = bits[row:] > radius
        exemplar[start : start + len(block)], differing[start : start + len(block)] = number, bits
    return exemplar, differing


def nearest(
    hashes: UInt64[np.ndarray, "row word"], known: UInt64[np.ndarray, "exemplar word"]
) -> tuple[Int[np.ndarray, "row"], Int[np.ndarray, "row"]]:
    """Return the bits to the nearest known hash, of equals the first, and its number.

    Where none is known the bits are beyond any radius.
    """
    bits = np.full(len(hashes), np.iinfo(np.int64).max)
    number = np.zeros(len(hashes), dtype=np.int64)
    for start in range(0, len(known), TILE_EXEMPLARS):
        tile = hamming(hashes, known[start : start + TILE_EXEMPLARS])
        place = tile.argmin(axis=1)
        found = tile[np.arange(len(hashes)), place]
        number = np.where(found < bits, start + place, number)
        bits = np.minimum(found, bits)
    return bits, number


def hamming(
    a: UInt64[np.ndarray, "a word"], b: UInt64[np.ndarray, "b word"]
) -> Shaped[np.ndarray, "a b"]:
    """Return in how many bits each of the one differs from each of the other."""
    enough = np.min_scalar_type(WORD_BITS * a.shape[1])
    differing = np.zeros((len(a), len(b)), dtype=enough)
    for word in range(a.shape[1]):
        differing += np.bitwise_count(a[:, word, None] ^ b[None, :, word])
    return differing
