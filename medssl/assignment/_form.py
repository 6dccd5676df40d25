"""The quadratic form of a pair of graphs: scores of permutations, and what single nodes add.

A graph pair is given by `vertex` (node x node), `edge` (edges of the first x edges of the second),
`first` and `second` (centers and neighbors of either graph's edges, none of which leads from a node
to itself). Of the second graph `table` says which edge leads from one node to another, -1 for none,
of the first one `links` does; `touching` says which of its edges have a node at either end, padded
by -1. The `pull` of a permutation is what each pair of nodes would add by edges.
"""

import numpy as np

from medssl.compiled import compiled


@compiled
def score(
    vertex: np.ndarray,
    edge: np.ndarray,
    first: np.ndarray,
    table: np.ndarray,
    permutation: np.ndarray,
) -> float:
    """Return the affinity of a permutation: of its nodes, and of the edges it maps to edges."""
    total = 0.0
    for node in range(len(permutation)):
        total += vertex[node, permutation[node]]
    for e in range(len(first)):
        f = table[permutation[first[e, 0]], permutation[first[e, 1]]]
        if f >= 0:
            total += edge[e, f]
    return total


@compiled
def pull_of(
    edge: np.ndarray, first: np.ndarray, table: np.ndarray, permutation: np.ndarray
) -> np.ndarray:
    """Return what each pair of nodes would add by edges to the nodes of a permutation."""
    n = len(permutation)
    pull = np.zeros((n, n))
    for e in range(len(first)):
        i, j = first[e, 0], first[e, 1]
        for node in range(n):
            f = table[node, permutation[j]]
            if f >= 0:
                pull[i, node] += edge[e, f]
            f = table[permutation[i], node]
            if f >= 0:
                pull[j, node] += edge[e, f]
    return pull


@compiled
def even_pull(edge: np.ndarray, first: np.ndarray, second: np.ndarray, n: int) -> np.ndarray:
    """Return the mean of `pull_of` over all ways to put one node of the second graph anywhere."""
    pull = np.zeros((n, n))
    for e in range(len(first)):
        i, j = first[e, 0], first[e, 1]
        for f in range(len(second)):
            share = edge[e, f] / n
            pull[i, second[f, 0]] += share
            pull[j, second[f, 1]] += share
    return pull


@compiled
def table_of(edges: np.ndarray, num_nodes: int) -> np.ndarray:
    """Return which edge leads from one node to another, -1 for none."""
    table = np.full((num_nodes, num_nodes), -1, np.int64)
    for e in range(len(edges)):
        table[edges[e, 0], edges[e, 1]] = e
    return table


@compiled
def touching_of(first: np.ndarray, num_nodes: int) -> np.ndarray:
    """Return which edges have each node at either end, padded by -1."""
    counts = np.zeros(num_nodes, np.int64)
    for e in range(len(first)):
        for end in range(2):
            counts[first[e, end]] += 1
    touching = np.full((num_nodes, counts.max() if len(first) else 0), -1, np.int64)
    counts[:] = 0
    for e in range(len(first)):
        for end in range(2):
            node = first[e, end]
            touching[node, counts[node]] = e
            counts[node] += 1
    return touching
