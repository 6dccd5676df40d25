"""The compiled loops of quadratic assignment: projections, swaps and kicks.

Source: Leordeanu, Hebert, Sukthankar, "An Integer Projected Fixed Point Method for Graph Matching
and MAP Inference", NeurIPS 2009, Algorithm 1; Lourenco, Martin, Stuetzle, "Iterated Local Search",
2003.

A graph pair is given by `vertex` (node x node), `edge` (edges of the first x edges of the second),
`first` and `second` (centers and neighbors of either graph's edges, none of which leads from a node
to itself). Of the second graph `table` says which edge leads from one node to another, -1 for none,
of the first one `links` does; `touching` says which of its edges have a node at either end, padded
by -1. The `pull` of a permutation is what each pair of nodes would add by edges; it follows swaps,
so that what a swap gains takes a few numbers, however many edges there are.
"""

import numpy as np

from medssl.assignment._linear import linear
from medssl.compiled import compiled

ITERATIONS = 50  # of a projection, each of which ends long before
EVEN = 1e-12  # what is better by less is as good


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
def _pull(
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
    """Return the mean of `_pull` over all ways to put one node of the second graph anywhere."""
    pull = np.zeros((n, n))
    for e in range(len(first)):
        i, j = first[e, 0], first[e, 1]
        for f in range(len(second)):
            share = edge[e, f] / n
            pull[i, second[f, 0]] += share
            pull[j, second[f, 1]] += share
    return pull


@compiled
def project(
    vertex: np.ndarray,
    edge: np.ndarray,
    first: np.ndarray,
    table: np.ndarray,
    pull: np.ndarray,
    weights: np.ndarray,
) -> np.ndarray:
    """Return the best permutation on the way from soft weights, whose pull is given, to a vertex.

    Each step solves the linear problem at the point where it stands, and goes towards its solution
    as far as the quadratic form rises.
    """
    n = len(vertex)
    best, best_score = np.zeros(n, np.int64), -np.inf
    for _ in range(ITERATIONS):
        toward = linear(vertex + pull)
        reached = score(vertex, edge, first, table, toward)
        if reached > best_score + EVEN:
            best, best_score = toward, reached
        other = _pull(edge, first, table, toward)
        slope, bend = 0.0, 0.0
        for i in range(n):
            for a in range(n):
                step = (1.0 if toward[i] == a else 0.0) - weights[i, a]
                slope += step * (vertex[i, a] + pull[i, a])
                bend += step * (other[i, a] - pull[i, a])
        if slope <= EVEN:
            break
        share = 1.0 if bend >= 0 else min(1.0, -slope / bend)
        for i in range(n):
            for a in range(n):
                one = 1.0 if toward[i] == a else 0.0
                weights[i, a] += share * (one - weights[i, a])
                pull[i, a] += share * (other[i, a] - pull[i, a])
    return best


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


@compiled
def _below(state: np.ndarray, limit: int) -> int:
    """Return a number in [0, limit) and move the state on (xorshift64*)."""
    x = state[0]
    x ^= x >> np.uint64(12)
    x ^= x << np.uint64(25)
    x ^= x >> np.uint64(27)
    state[0] = x
    return int((x * np.uint64(2685821657736338717)) >> np.uint64(33)) % limit


@compiled
def starts(
    vertex: np.ndarray,
    edge: np.ndarray,
    first: np.ndarray,
    second: np.ndarray,
    table: np.ndarray,
) -> np.ndarray:
    """Return two permutations, projected.

    The one comes from where all is even, the other from what is best for the nodes alone.
    """
    n = len(vertex)
    found = np.empty((2, n), np.int64)
    pull = even_pull(edge, first, second, n)
    found[0] = project(vertex, edge, first, table, pull, np.full((n, n), 1.0 / n))
    alone = linear(vertex)
    weights = np.zeros((n, n))
    for i in range(n):
        weights[i, alone[i]] = 1.0
    pull = _pull(edge, first, table, alone)
    found[1] = project(vertex, edge, first, table, pull, weights)
    return found


@compiled
def search(
    vertex: np.ndarray,
    edge: np.ndarray,
    first: np.ndarray,
    second: np.ndarray,
    kicks: int,
    state: np.ndarray,
) -> np.ndarray:
    """Return a permutation of a large score.

    Two starts are improved by swaps. The better one is kicked (some nodes change places at random),
    improved, and kept where it is no worse, so often; a quarter as often where both agree.
    """
    n = len(vertex)
    table, links, touching = table_of(second, n), table_of(first, n), touching_of(first, n)
    found = starts(vertex, edge, first, second, table)
    pulls = np.empty((2, n, n))
    for start in range(2):
        pulls[start] = _pull(edge, first, table, found[start])
        descend(vertex, edge, first, table, links, touching, found[start], pulls[start])
    scores = [score(vertex, edge, first, table, found[start]) for start in range(2)]
    better = 0 if scores[0] >= scores[1] else 1
    if (found[0] == found[1]).all():
        kicks //= 4
    current, pull, current_score = found[better], pulls[better], scores[better]
    best, best_score = current.copy(), current_score
    tried, tried_pull = np.empty(n, np.int64), np.empty((n, n))
    for _ in range(kicks):
        tried[:], tried_pull[:] = current, pull
        for _swap in range(min(3, n)):
            i, j = _below(state, n), _below(state, n)
            swap(edge, first, table, touching, tried, tried_pull, i, j)
        descend(vertex, edge, first, table, links, touching, tried, tried_pull)
        reached = score(vertex, edge, first, table, tried)
        if reached >= current_score - EVEN:
            current[:], pull[:], current_score = tried, tried_pull, reached
        if reached > best_score + EVEN:
            best[:], best_score = tried, reached
    return best


@compiled
def best_of_all(
    vertex: np.ndarray, edge: np.ndarray, first: np.ndarray, table: np.ndarray
) -> np.ndarray:
    """Return the permutation of the largest score, after looking at all of them."""
    n = len(vertex)
    current, best = np.arange(n), np.arange(n)
    best_score = score(vertex, edge, first, table, current)
    counters = np.zeros(n, np.int64)
    place = 0
    while place < n:  # Heap's algorithm: each permutation is one swap from the last
        if counters[place] < place:
            other = 0 if place % 2 == 0 else counters[place]
            current[other], current[place] = current[place], current[other]
            reached = score(vertex, edge, first, table, current)
            if reached > best_score:
                best, best_score = current.copy(), reached
            counters[place] += 1
            place = 0
        else:
            counters[place] = 0
            place += 1
    return best


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


@compiled
def match(
    vertex: np.ndarray,
    edge: np.ndarray,
    first: np.ndarray,
    second: np.ndarray,
    orders: np.ndarray,
    kicks: int,
    seeds: np.ndarray,
    found: np.ndarray,
) -> None:
    """Put the permutation of each pair of graphs into `found`; all are looked at if kicks < 0.

    The second graph's nodes are taken in the order given, which decides among equally good ones.
    """
    n = vertex.shape[1]
    place, mixed = np.empty(n, np.int64), np.empty((n, n))
    turned = np.empty_like(second[:1])
    for g in range(len(vertex)):
        order = orders[g]
        for k in range(n):
            place[order[k]] = k
        for f in range(second.shape[1]):
            turned[0, f, 0], turned[0, f, 1] = place[second[g, f, 0]], place[second[g, f, 1]]
        for i in range(n):
            for k in range(n):
                mixed[i, k] = vertex[g, i, order[k]]
        if kicks < 0:
            best = best_of_all(mixed, edge[g], first[g], table_of(turned[0], n))
        else:
            state = seeds[g : g + 1].copy()
            best = search(mixed, edge[g], first[g], turned[0], kicks, state)
        for i in range(n):
            found[g, i] = order[best[i]]
