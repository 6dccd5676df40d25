"""Near duplicates in other ways: what ours is compared with, and rows to find them among."""

from collections.abc import Callable

import numpy as np
from imagehash import ImageHash
from jaxtyping import Float32, Int, UInt64

WORD_BITS = 64
SLICES = 400  # of a volume: hashes walk from one to the next
BLOCK_ROWS, TILE_ROWS = 256, 4096


def walking_hashes(rows: int, seed: int = 0) -> UInt64[np.ndarray, "row 1"]:
    """Return hashes like those of slices: skewed, and from slice to slice next to the same.

    Each bit has its own probability to be one, from a beta distribution with a peak at either
    end. A volume starts with a draw of all bits; each slice draws two of them anew.
    """
    rng = np.random.default_rng(seed)
    is_one = rng.beta(0.5, 0.5, size=WORD_BITS).clip(0.05, 0.95)
    volumes = -(-rows // SLICES)
    current = np.zeros(volumes, np.uint64)
    for place, chance in enumerate(is_one):
        current |= (rng.random(volumes) < chance).astype(np.uint64) << np.uint64(place)
    hashes = np.empty((volumes, SLICES), np.uint64)
    for place in range(SLICES):
        hashes[:, place] = current
        for _ in range(2):
            bit = rng.integers(WORD_BITS, size=volumes)
            ones = (rng.random(volumes) < is_one[bit]).astype(np.uint64)
            shift = bit.astype(np.uint64)
            current = current & ~(np.uint64(1) << shift) | ones << shift
    return hashes.reshape(-1, 1)[:rows]


def walking_vectors(rows: int, dim: int, seed: int = 0) -> Float32[np.ndarray, "row dim"]:
    """Return vectors like those of slices: a walk over the sphere, volume by volume."""
    rng = np.random.default_rng(seed)
    volumes = -(-rows // SLICES)
    vectors = np.empty((volumes, SLICES, dim), np.float32)
    current = rng.standard_normal((volumes, dim), np.float32)
    for place in range(SLICES):
        vectors[:, place] = current
        current = 0.99 * current + 0.14 * rng.standard_normal((volumes, dim), np.float32)
    return vectors.reshape(-1, dim)[:rows]


def by_blocks(hashes: UInt64[np.ndarray, "row 1"], radius: int) -> Int[np.ndarray, "row"]:
    """Return for each hash its exemplar: each block against all before it, by numpy's popcount."""
    words = hashes[:, 0]
    kept, rows_of_kept, count = np.empty_like(words), np.empty(len(words), np.int64), 0
    exemplar = np.arange(len(words))
    for start in range(0, len(words), BLOCK_ROWS):
        block = words[start : start + BLOCK_ROWS]
        bits, number = _nearest(block, kept[:count])
        row = rows_of_kept[number]
        while (bits > radius).any():
            new = int((bits > radius).argmax())
            kept[count], rows_of_kept[count] = block[new], start + new
            count += 1
            to_it = np.bitwise_count(block[new:] ^ block[new]).astype(np.int64)
            nearer = np.flatnonzero(to_it < bits[new:]) + new
            bits[nearer], row[nearer] = to_it[nearer - new], start + new
        exemplar[start : start + len(block)] = row
    return exemplar


def _nearest(
    block: UInt64[np.ndarray, "row"], kept: UInt64[np.ndarray, "exemplar"]
) -> tuple[Int[np.ndarray, "row"], Int[np.ndarray, "row"]]:
    bits = np.full(len(block), WORD_BITS + 1, np.int64)
    number = np.zeros(len(block), np.int64)
    for start in range(0, len(kept), TILE_ROWS):
        tile = np.bitwise_count(block[:, None] ^ kept[None, start : start + TILE_ROWS])
        place = tile.argmin(axis=1)
        found = tile[np.arange(len(block)), place]
        number = np.where(found < bits, start + place, number)
        bits = np.minimum(bits, found)
    return bits, number


def deleting(
    hashes: UInt64[np.ndarray, "row 1"], radius: int
) -> Callable[[], Int[np.ndarray, "kept"]]:
    """Return what keeps the first of what is left and deletes from a list what is near it.

    The rule of Wolfda95/Less_is_More@c3ca90d over imagehash's objects, in words of our own; making
    the objects is not part of the work.
    """
    bits = (hashes >> np.arange(WORD_BITS - 1, -1, -1, dtype=np.uint64)).astype(np.uint8) & 1
    listed = [(row, ImageHash(one.reshape(8, 8).astype(bool))) for row, one in enumerate(bits)]

    def work() -> Int[np.ndarray, "kept"]:
        left, kept = listed, []
        while left:
            first = left[0]
            kept.append(first[0])
            left = [other for other in left[1:] if other[1] - first[1] > radius]
        return np.array(kept)

    return work


def by_definition(vectors: Float32[np.ndarray, "row dim"], least: float) -> Int[np.ndarray, "kept"]:
    """Return what is kept, by cosines of all rows with all rows in float64."""
    exact = vectors.astype(np.float64)
    exact /= np.linalg.norm(exact, axis=1, keepdims=True)
    is_near_kept = np.zeros(len(exact), bool)
    kept = []
    for row in range(len(exact)):
        if not is_near_kept[row]:
            kept.append(row)
            is_near_kept[row:] |= exact[row:] @ exact[row] >= least
    return np.array(kept)
