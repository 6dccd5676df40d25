"""Hamming: the share of a hash's bits that are equal.

Source: Wolf et al., "Less is More: Selective reduction of CT data for self-supervised
pre-training of deep learning models with contrastive learning improves downstream
classification performance", CIBM 183, 2024, arXiv:2410.14524; the arm HASH at radius 6.
Code: Wolfda95/Less_is_More@c3ca90d.
Departs from the code: what stands for a dropped row is the nearest of the exemplars before it,
not the first within the radius, which leaves what is kept as it is.
"""

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped, UInt64

from medssl.errors import DataError
from medssl.similarity import Kind, Knob
from medssl.similarity._greedy import BLOCK_ROWS
from medssl.similarity._hash_loops import nearest_of
from medssl.similarity._multi_index import exemplars_of_few, exemplars_of_many
from medssl.similarity._picked import Values

__all__ = ["Hamming"]

WORD_BITS = 64
FEW = 2048  # rows from which on an index is worth its table


@dataclass(frozen=True, kw_only=True)
class Hamming:
    """Hashes in words of 64 bits; similarity is the share of equal bits.

    Args:
        radius: Most bits in which near duplicates differ.
    """

    takes: ClassVar[Kind] = "hash"

    radius: int = 6

    def __post_init__(self) -> None:
        if self.radius < 0:
            msg = f"radius must be at least 0, got {self.radius}"
            raise ValueError(msg)

    def knob(self, dim: int) -> Knob:
        """Return the knob: radii, the largest first, as negative numbers."""
        return Knob(-float(WORD_BITS * dim), 0.0, is_whole=True)

    def at(self, level: float) -> "Hamming":
        """Return it with another radius."""
        return replace(self, radius=-round(level))

    def pairs(
        self, a: Shaped[np.ndarray, "row dim"], b: Shaped[np.ndarray, "row dim"]
    ) -> Float[np.ndarray, "row"]:
        """Return the shares of equal bits."""
        return 1 - differing(words(a), words(b)) / (WORD_BITS * a.shape[1])

    def check(self, values: Shaped[Values, "row dim"]) -> None:
        """Refuse rows that are no hashes."""
        words(values[:1])

    def exemplars(self, values: Shaped[Values, "row dim"]) -> Int[np.ndarray, "row"]:
        """Return for each row the exemplar that stands for it; exact, whatever the number."""
        hashes = words(values)
        if len(hashes) <= FEW:
            return exemplars_of_few(hashes, self.radius)
        return exemplars_of_many(hashes, self.radius)

    def last_kept(self, values: Shaped[Values, "row dim"]) -> Int[np.ndarray, "row"]:
        """Return for each row the last exemplar up to it."""
        hashes = words(values)
        stands_for = np.zeros(len(hashes), np.int64)
        last, position = 0, 1
        while position < len(hashes):
            stretch = hashes[position : position + BLOCK_ROWS]
            is_new = differing(stretch, hashes[last : last + 1]) > self.radius
            run = int(is_new.argmax()) if is_new.any() else len(stretch)
            stands_for[position : position + run] = last
            position += run
            if run < len(stretch):
                stands_for[position] = last = position
                position += 1
        return stands_for


def words(values: Shaped[Values, "row dim"]) -> UInt64[np.ndarray, "row dim"]:
    """Return hashes as they are, side by side in memory.

    Raises:
        DataError: If they are anything else.
    """
    if values.dtype != np.uint64:
        msg = f"the Hamming distance takes hashes in uint64, got values in {values.dtype}"
        raise DataError(msg)
    return np.ascontiguousarray(values)


def differing(
    a: UInt64[np.ndarray, "row word"], b: UInt64[np.ndarray, "#row word"]
) -> Int[np.ndarray, "row"]:
    """Return in how many bits they differ, row by row."""
    return np.bitwise_count(a ^ b).sum(axis=1, dtype=np.int64)


def nearest(
    hashes: UInt64[np.ndarray, "row word"], known: UInt64[np.ndarray, "known word"]
) -> tuple[Int[np.ndarray, "row"], Int[np.ndarray, "row"]]:
    """Return in how many bits each differs from the nearest known one, and its number."""
    bits = np.full(len(hashes), WORD_BITS * hashes.shape[1] + 1, np.int64)
    number = np.zeros(len(hashes), np.int64)
    nearest_of(np.ascontiguousarray(hashes), np.ascontiguousarray(known.T), bits, number)
    return bits, number


def is_near(bits: Int[np.ndarray, "row"], num_words: int) -> Bool[np.ndarray, "row"]:
    """Return which distances are those of near copies: the share of 6 in 64 bits.

    Of 3-D hashes of volumes, 1,536 bits: copies with 2 % gain and noise at an SNR of 20 differ by
    at most 111, two subjects by at least 271 (hippocampus) and 454 (chest CT around nodules).
    """
    return bits <= HASH_6.radius * num_words


HASH_6 = Hamming(radius=6)
