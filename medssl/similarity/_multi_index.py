"""Exact nearest exemplars under the Hamming distance, among millions of hashes.

There are two ways, and for each block of rows the one that has fewer distances to count.

Tables: hashes are cut into chunks of 16 bits, each with a table of the exemplars that have a
certain chunk. Two hashes within the radius differ, in at least one of their chunks, in no more
bits than that chunk's share of the radius: looking up all such values in all tables finds every
exemplar within the radius, and the distance to each that was found is then counted.

Anchors: where hashes are skewed, as those of CT are, a few values of a chunk have most of the
exemplars. But rows come as slices follow one another, and hardly change. All exemplars are counted
through for one row, the anchor, and those within the radius and a reach more are noted: for rows
within reach of the anchor no other can be within the radius.

Source: Norouzi, Punjani, Fleet, "Fast Exact Search in Hamming Space with Multi-Index Hashing",
IEEE TPAMI 36(6), 2014, arXiv:1307.2982, Sec. 3, with the finer shares of Proposition 2.
Departs from the paper: exemplars are added while others are looked up; there is but one radius;
anchors are ours, the triangle inequality of any metric.
"""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from functools import partial
from itertools import combinations

import numpy as np
from jaxtyping import Int, UInt16, UInt64

from medssl.similarity._hash_loops import (
    CHUNK_BITS,
    CHUNKS_A_WORD,
    NODE_ROWS,
    NUM_VALUES,
    Tables,
    add,
    by_anchors,
    look_up,
    num_anchors,
    tell,
)

BLOCK_ROWS = 2048  # rows that are looked up before exemplars among them are told
REACH = 4  # bits a word in which rows differ from their anchor
LOOK_UP_COST = 4  # of a value, in distances that could be counted instead


def exemplars_of_few(hashes: UInt64[np.ndarray, "row word"], radius: int) -> Int[np.ndarray, "row"]:
    """Return for each hash its exemplar, each compared with all exemplars before it."""
    bits = np.full(len(hashes), radius + 1, np.int64)
    number = np.zeros(len(hashes), np.int64)
    kept = np.empty(len(hashes), np.int64)
    count = tell(hashes, 0, bits, number, kept, 0, radius)
    return kept[:count][number]


def exemplars_of_many(
    hashes: UInt64[np.ndarray, "row word"], radius: int
) -> Int[np.ndarray, "row"]:
    """Return for each hash its exemplar, by tables of the exemplars' chunks."""
    index = Index(hashes.shape[1], radius)
    number = np.zeros(len(hashes), np.int64)
    kept = np.empty(len(hashes), np.int64)
    count = 0
    with _side_by_side() as share_out:
        for start in range(0, len(hashes), BLOCK_ROWS):
            block = hashes[start : start + BLOCK_ROWS]
            bits = np.full(len(block), radius + 1, np.int64)
            told = number[start : start + BLOCK_ROWS]

            share_out(partial(_look_up_part, index, block, bits, told), len(block))
            before = count
            count = tell(block, start, bits, told, kept, count, radius)
            index.add(hashes[kept[before:count]])
    return kept[:count][number]


def _look_up_part(
    index: "Index",
    block: UInt64[np.ndarray, "row word"],
    bits: Int[np.ndarray, "row"],
    number: Int[np.ndarray, "row"],
    part: slice,
) -> None:
    index.look_up(block[part], bits[part], number[part])


class Index:
    """Exemplars by the values of their chunks.

    Args:
        num_words: Of a hash.
        radius: Within which exemplars are to be found.
    """

    def __init__(self, num_words: int, radius: int) -> None:
        shares = shares_of(radius, CHUNKS_A_WORD * num_words)
        self.radius, self.reach = radius, REACH * num_words
        self.masks = within(max(shares))
        self.num_masks = np.array([len(within(share)) if share >= 0 else 0 for share in shares])
        self.squares = np.zeros(len(shares))  # of how many exemplars each value of a chunk has
        self.count = 0
        self.known = np.empty((num_words, BLOCK_ROWS), np.uint64)
        self.num_nodes = 0
        self.tables = Tables(
            heads=np.full((len(shares), NUM_VALUES), -1, np.int32),
            counts=np.zeros((len(shares), NUM_VALUES), np.int32),
            following=np.empty(0, np.int32),
            fill=np.empty(0, np.int32),
            numbers=np.empty((0, NODE_ROWS), np.int32),
            hashes=np.empty((0, NODE_ROWS, num_words), np.uint64),
        )

    def look_up(
        self,
        hashes: UInt64[np.ndarray, "row word"],
        bits: Int[np.ndarray, "row"],
        number: Int[np.ndarray, "row"],
    ) -> None:
        """Where an exemplar is nearer than `bits`, put its distance and its number there."""
        anchors = num_anchors(hashes, self.reach)
        if len(hashes) * self._distances_a_row() < anchors * self.count:
            look_up(hashes, self.masks, self.num_masks, self.tables, bits, number)
        else:
            known = self.known[:, : self.count]
            by_anchors(hashes, known, self.radius + self.reach, self.reach, bits, number)

    def _distances_a_row(self) -> float:
        """Return how many distances tables have counted for a row that is like the exemplars."""
        # A value that an exemplar has is had by sum(n^2) / sum(n) of them.
        held = self.squares / max(1, self.count)
        return float((self.num_masks * (held + LOOK_UP_COST)).sum())

    def add(self, hashes: UInt64[np.ndarray, "row word"]) -> None:
        """Add exemplars, numbered on from those before."""
        first, self.count = self.count, self.count + len(hashes)
        if self.known.shape[1] < self.count:
            wider = np.empty((len(self.known), 2 * self.count), np.uint64)
            wider[:, :first] = self.known[:, :first]
            self.known = wider
        self.known[:, first : self.count] = hashes.T
        most = self.num_nodes + len(hashes) * len(self.num_masks)
        heads, counts, *nodes = self.tables
        self.tables = Tables(heads, counts, *(_with_room(part, most) for part in nodes))
        self.num_nodes = add(
            hashes, first, self.num_masks, self.tables, self.num_nodes, self.squares
        )


def shares_of(radius: int, num_chunks: int) -> list[int]:
    """Return how many bits each chunk may differ in, so that in one at least it is no more.

    If each differed in more, together they would differ in at least `radius + 1`. A chunk whose
    share is -1 need not be looked at.
    """
    each, over = divmod(radius + 1, num_chunks)
    return [min(each + (chunk < over), CHUNK_BITS + 1) - 1 for chunk in range(num_chunks)]


def within(bits: int) -> UInt16[np.ndarray, "mask"]:
    """Return all masks of at most so many ones, those with fewer first."""
    ones = (c for count in range(bits + 1) for c in combinations(range(CHUNK_BITS), count))
    return np.array([sum(1 << place for place in places) for places in ones], np.uint16)


@contextmanager
def _side_by_side() -> Iterator[Callable[[Callable[[slice], None], int], None]]:
    """Provide a function that has parts of a block worked on by as many threads as processors."""
    jobs = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    with ThreadPoolExecutor(jobs) as executor:

        def share_out(work: Callable[[slice], None], count: int) -> None:
            step = -(-count // jobs)
            parts = [slice(start, start + step) for start in range(0, count, step)]
            done, _ = wait([executor.submit(work, part) for part in parts])
            for one in done:
                one.result()

        yield share_out


def _with_room(array: np.ndarray, length: int) -> np.ndarray:
    """Return the array, or a copy with room for more, where it is shorter than asked."""
    if len(array) >= length:
        return array
    larger = np.empty((max(length, 2 * len(array)), *array.shape[1:]), array.dtype)
    larger[: len(array)] = array
    return larger
