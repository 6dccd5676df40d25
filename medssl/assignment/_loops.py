"""The search for a good permutation: two projections, then swaps and kicks; or all of them.

How a pair of graphs is given stands in `_form`.

Source: Lourenco, Martin, Stuetzle, "Iterated Local Search", Handbook of Metaheuristics, 2003.
"""

import numpy as np

from medssl.assignment._descent import descend, swap
from medssl.assignment._form import even_pull, pull_of, score, table_of, touching_of
from medssl.assignment._linear import linear
from medssl.assignment._projection import EVEN, project
from medssl.compiled import compiled


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
    pull = pull_of(edge, first, table, alone)
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
        pulls[start] = pull_of(edge, first, table, found[start])
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
