"""Descent by swaps: what a swap gains takes a few numbers, however many edges there are.

The pull of the permutation, which says what each node would add elsewhere, follows the swaps.
"""

import numpy as np

from medssl.assignment._projection import EVEN
from medssl.compiled import compiled


@compiled
def _between(
    edge: np.ndarray, links: np.ndarray, table: np.ndarray, i: int, j: int, a: int, b: int
) -> float:
    """Return what the edges between two nodes add where these are at a and b."""
    total = 0.0
    e, f = links[i, j], table[a, b]
    if e >= 0 and f >= 0:
        total += edge[e, f]
    e, f = links[j, i], table[b, a]
    if e >= 0 and f >= 0:
        total += edge[e, f]
    return total


@compiled
def _move(
    edge: np.ndarray,
    first: np.ndarray,
    table: np.ndarray,
    touching: np.ndarray,
    pull: np.ndarray,
    node: int,
    old: int,
    new: int,
) -> None:
    """Have the pull on the neighbors of a node follow where it goes."""
    for place in range(touching.shape[1]):
        e = touching[node, place]
        if e < 0:
            break
        is_center = first[e, 0] == node
        other = first[e, 1] if is_center else first[e, 0]
        for c in range(len(table)):
            f = table[old, c] if is_center else table[c, old]
            if f >= 0:
                pull[other, c] -= edge[e, f]
            f = table[new, c] if is_center else table[c, new]
            if f >= 0:
                pull[other, c] += edge[e, f]


@compiled
def swap(
    edge: np.ndarray,
    first: np.ndarray,
    table: np.ndarray,
    touching: np.ndarray,
    permutation: np.ndarray,
    pull: np.ndarray,
    i: int,
    j: int,
) -> None:
    """Let two nodes change places, and the pull follow."""
    a, b = permutation[i], permutation[j]
    if i == j:
        return
    _move(edge, first, table, touching, pull, i, a, b)
    _move(edge, first, table, touching, pull, j, b, a)
    permutation[i], permutation[j] = b, a


@compiled
def descend(
    vertex: np.ndarray,
    edge: np.ndarray,
    first: np.ndarray,
    table: np.ndarray,
    links: np.ndarray,
    touching: np.ndarray,
    permutation: np.ndarray,
    pull: np.ndarray,
) -> None:
    """Let the two nodes change places that gain most, until none do."""
    n = len(permutation)
    while True:
        most, first_of, second_of = EVEN, -1, -1
        for i in range(n):
            a = permutation[i]
            stays = vertex[i, a] + pull[i, a]
            for j in range(i + 1, n):
                b = permutation[j]
                gain = vertex[i, b] + pull[i, b] + vertex[j, a] + pull[j, a]
                gain -= stays + vertex[j, b] + pull[j, b]
                # which both pulls have where they are, and neither where they are to go
                gain += _between(edge, links, table, i, j, a, b)
                gain += _between(edge, links, table, i, j, b, a)
                if gain > most:
                    most, first_of, second_of = gain, i, j
        if first_of < 0:
            return
        swap(edge, first, table, touching, permutation, pull, first_of, second_of)
