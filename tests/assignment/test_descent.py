import itertools

import numpy as np
import pytest

from medssl.assignment import _descent, _form


def problem(seed, *, nodes=7, neighbors=3):
    """Return random affinities of nodes and edges, and the edges of two graphs."""
    rng = np.random.default_rng(seed)

    def edges():
        others = [rng.permutation(np.delete(np.arange(nodes), i))[:neighbors] for i in range(nodes)]
        return np.array([(i, other) for i in range(nodes) for other in others[i]])

    first, second = edges(), edges()
    vertex = rng.normal(size=(nodes, nodes))
    return vertex, rng.normal(size=(len(first), len(second))), first, second


def added(edge, first, second, permutation, node, place):
    """Return what edges would add if one node were at a place and all others where they are."""
    moved = {i: int(p) for i, p in enumerate(permutation)} | {node: place}
    numbers = {tuple(pair): f for f, pair in enumerate(second.tolist())}
    ends = [(e, moved[i], moved[j]) for e, (i, j) in enumerate(first.tolist()) if node in (i, j)]
    return sum(edge[e, numbers[a, b]] for e, a, b in ends if (a, b) in numbers)


@pytest.mark.parametrize("seed", range(3))
def test_the_pull_is_what_a_node_would_add_and_follows_swaps(seed):
    vertex, edge, first, second = problem(seed)
    n = len(vertex)
    table, touching = _form.table_of(second, n), _form.touching_of(first, n)
    rng = np.random.default_rng(seed)
    permutation = rng.permutation(n)
    pull = _form.pull_of(edge, first, table, permutation)
    for _ in range(20):
        i, j = rng.integers(n, size=2)
        _descent.swap(edge, first, table, touching, permutation, pull, i, j)
        assert sorted(permutation) == list(range(n))
    for node, place in itertools.product(range(n), repeat=2):
        expected = added(edge, first, second, permutation, node, place)
        assert pull[node, place] == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("seed", range(5))
def test_descent_takes_the_best_swap_each_time_until_there_is_none(seed):
    vertex, edge, first, second = problem(seed)
    n = len(vertex)
    table, links = _form.table_of(second, n), _form.table_of(first, n)
    touching = _form.touching_of(first, n)

    def worth(permutation):
        return _form.score(vertex, edge, first, table, permutation)

    expected = np.random.default_rng(seed).permutation(n)
    permutation = expected.copy()
    pull = _form.pull_of(edge, first, table, permutation)
    _descent.descend(vertex, edge, first, table, links, touching, permutation, pull)
    while True:
        swapped = []
        for i, j in itertools.combinations(range(n), 2):
            other = expected.copy()
            other[[i, j]] = other[[j, i]]
            swapped.append(other)
        best = max(swapped, key=worth)
        if worth(best) <= worth(expected) + 1e-9:
            break
        expected = best
    np.testing.assert_array_equal(permutation, expected)
    np.testing.assert_allclose(pull, _form.pull_of(edge, first, table, permutation), atol=1e-12)


def test_the_even_pull_is_the_mean_over_all_places_of_the_other_end():
    _, edge, first, second = problem(0, nodes=5, neighbors=2)
    pull = _form.even_pull(edge, first, second, 5)
    numbers = {tuple(pair): f for f, pair in enumerate(second.tolist())}
    expected = np.zeros((5, 5))
    for (e, (i, j)), a, b in itertools.product(enumerate(first.tolist()), range(5), range(5)):
        if (a, b) in numbers:
            expected[i, a] += edge[e, numbers[a, b]] / 5
            expected[j, b] += edge[e, numbers[a, b]] / 5
    np.testing.assert_allclose(pull, expected, atol=1e-12)
