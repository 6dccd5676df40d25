"""The compiled loops of searching hashes: distances, tables of chunks, anchors."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Int32, UInt64

from medssl.compiled import compiled
from medssl.similarity._popcount import popcount

CHUNK_BITS = 16
NUM_VALUES = 1 << CHUNK_BITS
CHUNKS_A_WORD = 64 // CHUNK_BITS
NODE_ROWS = 8  # exemplars that lie side by side in a table, and are counted together


class Tables(NamedTuple):
    """Exemplars in chains of nodes, one chain for each value of each chunk.

    Attributes:
        heads: The first node of each chain, the only one that may not be full; -1 for none.
        counts: How many exemplars a chain holds.
        following: The node after each, or -1.
        fill: How many exemplars a node holds.
        numbers: Which they are.
        hashes: Their hashes.
    """

    heads: Int32[np.ndarray, "chunk value"]
    counts: Int32[np.ndarray, "chunk value"]
    following: Int32[np.ndarray, "node"]
    fill: Int32[np.ndarray, "node"]
    numbers: Int32[np.ndarray, "node place"]
    hashes: UInt64[np.ndarray, "node place word"]


@compiled
def _distance(a: np.ndarray, b: np.ndarray) -> int:
    bits = 0
    for word in range(len(a)):
        bits += popcount(a[word] ^ b[word])
    return bits


@compiled
def tell(
    hashes: np.ndarray,
    start: int,
    bits: np.ndarray,
    number: np.ndarray,
    kept: np.ndarray,
    count: int,
    radius: int,
) -> int:
    """Tell exemplars of a block from the rest, in order; return how many there are then."""
    before = count
    for row in range(len(hashes)):
        for known in range(before, count):
            distance = _distance(hashes[row], hashes[kept[known] - start])
            if distance < bits[row]:
                bits[row], number[row] = distance, known
        if bits[row] > radius:
            kept[count], number[row] = start + row, count
            count += 1
    return count


@compiled
def num_anchors(hashes: np.ndarray, reach: int) -> int:
    anchor, count = 0, 1
    for row in range(1, len(hashes)):
        if _distance(hashes[row], hashes[anchor]) > reach:
            anchor = row
            count += 1
    return count


@compiled
def _distances(hashes: np.ndarray, row: int, known: np.ndarray, out: np.ndarray) -> None:
    """Put the distance of a row to each known hash, a column each, into `out`: many at a time."""
    for exemplar in range(len(out)):
        out[exemplar] = popcount(hashes[row, 0] ^ known[0, exemplar])
    for word in range(1, len(known)):
        for exemplar in range(len(out)):
            out[exemplar] += popcount(hashes[row, word] ^ known[word, exemplar])


@compiled
def nearest_of(hashes: np.ndarray, known: np.ndarray, bits: np.ndarray, number: np.ndarray) -> None:
    """Where a known hash, a column each, is nearer than `bits`, put distance and number there."""
    distances = np.empty(known.shape[1], np.uint16)
    for row in range(len(hashes)):
        _distances(hashes, row, known, distances)
        for exemplar in range(len(distances)):
            if distances[exemplar] < bits[row]:
                bits[row], number[row] = distances[exemplar], exemplar


@compiled
def by_anchors(
    hashes: np.ndarray,
    known: np.ndarray,
    radius: int,
    reach: int,
    bits: np.ndarray,
    number: np.ndarray,
) -> None:
    distances = np.empty(known.shape[1], np.uint16)
    noted = np.empty(known.shape[1] + 1, np.int32)
    near = np.empty_like(known)
    count, anchor = 0, -1
    for row in range(len(hashes)):
        if anchor < 0 or _distance(hashes[row], hashes[anchor]) > reach:
            anchor, count = row, 0
            _distances(hashes, row, known, distances)
            for exemplar in range(len(distances)):
                # Written in any case and kept if near: no branch to guess wrong.
                noted[count] = exemplar
                count += distances[exemplar] <= radius
            for word in range(len(known)):
                for place in range(count):
                    near[word, place] = known[word, noted[place]]
        _distances(hashes, row, near, distances[:count])
        for place in range(count):
            if distances[place] < bits[row]:
                bits[row], number[row] = distances[place], noted[place]


@compiled
def _chunk(hashes: np.ndarray, row: int, chunk: int) -> np.int64:
    word = hashes[row, chunk // CHUNKS_A_WORD]
    shift = np.uint64(CHUNK_BITS * (chunk % CHUNKS_A_WORD))
    return np.int64((word >> shift) & np.uint64(NUM_VALUES - 1))


@compiled
def look_up(
    hashes: np.ndarray,
    masks: np.ndarray,
    num_masks: np.ndarray,
    tables: Tables,
    bits: np.ndarray,
    number: np.ndarray,
) -> None:
    for row in range(len(hashes)):
        nearest, found = bits[row], number[row]
        for chunk in range(len(num_masks)):
            value = _chunk(hashes, row, chunk)
            for mask in range(num_masks[chunk]):
                node = tables.heads[chunk, value ^ np.int64(masks[mask])]
                while node >= 0:
                    for place in range(tables.fill[node]):
                        distance = _distance(hashes[row], tables.hashes[node, place])
                        exemplar = tables.numbers[node, place]
                        if distance < nearest or (distance == nearest and exemplar < found):
                            nearest, found = distance, exemplar
                    node = tables.following[node]
        bits[row], number[row] = nearest, found


@compiled
def add(
    hashes: np.ndarray,
    first: int,
    num_masks: np.ndarray,
    tables: Tables,
    num_nodes: int,
    squares: np.ndarray,
) -> int:
    for row in range(len(hashes)):
        for chunk in range(len(num_masks)):
            if num_masks[chunk] == 0:
                continue
            value = _chunk(hashes, row, chunk)
            node = tables.heads[chunk, value]
            if node < 0 or tables.fill[node] == NODE_ROWS:
                tables.following[num_nodes], tables.fill[num_nodes] = node, 0
                node = num_nodes
                tables.heads[chunk, value] = node
                num_nodes += 1
            place = tables.fill[node]
            tables.hashes[node, place] = hashes[row]
            tables.numbers[node, place] = first + row
            tables.fill[node] = place + 1
            tables.counts[chunk, value] += 1
            squares[chunk] += 2 * tables.counts[chunk, value] - 1
    return num_nodes
