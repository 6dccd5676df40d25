"""Facility location against plain greedy, and against the best there is."""

from itertools import combinations

import numpy as np
import pytest

from medssl.selection import DescriptorTable, facility_location
from medssl.selection.facility_location import FacilityLocation, greedy


def vectors(rows, seed=0, dim=3):
    return np.random.default_rng(seed).normal(size=(rows, dim)).astype(np.float32)


def table(values, order=None, target=None):
    rows = np.arange(len(values))
    return DescriptorTable(values, rows, rows if order is None else order, target)


def cosines(a, b):
    a, b = (one / np.linalg.norm(one.astype(float), axis=1, keepdims=True) for one in (a, b))
    return a @ b.T


def utility(alike, kept):
    return alike[:, list(kept)].max(axis=1).sum()


def plainly(alike, budget):
    """Return what greedy adds, in turn: the first with which the utility is largest."""
    kept = []
    for _ in range(budget):
        rest = [row for row in range(alike.shape[1]) if row not in kept]
        each = np.array([utility(alike, [*kept, row]) for row in rest])
        kept.append(rest[int((each >= each.max() - 1e-5).argmax())])
    return kept


@pytest.mark.parametrize("seed", range(5))
def test_it_is_plain_greedy(monkeypatch, seed):
    monkeypatch.setattr(facility_location, "TRIED", 3)
    values = vectors(60, seed)
    expected = plainly(cosines(values, values), 20)
    found = FacilityLocation(budget=20)(table(values))
    assert found.kept.tolist() == sorted(expected)
    whole = [utility(cosines(values, values), expected[:n]) for n in range(1, 21)]
    np.testing.assert_allclose(found.curves["utility"], whole, rtol=1e-5)
    assert found.numbers["utility"] == pytest.approx(whole[-1], rel=1e-5)


@pytest.mark.parametrize("seed", range(10))
def test_it_reaches_its_share_of_the_best_there_is(seed):
    values = vectors(7, seed)
    alike = cosines(values, values) + 1  # counted from where everything is opposite
    best = max(utility(alike, kept) for kept in combinations(range(7), 3))
    found = utility(alike, FacilityLocation(budget=3)(table(values)).kept)
    assert best >= found >= (1 - 1 / np.e) * best


@pytest.mark.parametrize("seed", range(3))
def test_toward_a_target_it_is_plain_greedy(monkeypatch, seed):
    monkeypatch.setattr(facility_location, "TRIED", 3)
    monkeypatch.setattr(facility_location, "AT_ONCE", 20)
    values, target = vectors(50, seed), vectors(30, seed + 100)
    found = FacilityLocation(budget=12)(table(values, target=target))
    expected = plainly(cosines(target, values), 12)
    assert found.kept.tolist() == sorted(expected)
    whole = utility(cosines(target, values), expected)
    assert found.numbers["utility"] == pytest.approx(whole, rel=1e-5)


@pytest.mark.parametrize(
    ("rows", "added", "utilities"),
    [(slice(0, 6), [1, 0, 2], [1.95, 1.96, 1.96]), (slice(1, 3), [0, 1], [1.95, 1.95])],
)
def test_the_utilities_of_the_specification(rows, added, utilities):
    # Cosines of six rows that are offered with two that are wanted; not those of real vectors.
    alike = np.array([[99, 10], [98, 97], [95, 96], [60, 94], [50, 40], [20, 30]], np.float32) / 100
    offered, wanted = alike[rows], np.eye(2, dtype=np.float32)
    chosen, found = greedy(offered, wanted, len(added), np.arange(len(offered)))
    assert chosen.tolist() == added
    assert found.tolist() == pytest.approx(utilities)


def test_rows_that_add_nothing_are_kept_once_each_where_the_budget_asks_for_them():
    rows = np.arange(40)
    values = np.concatenate([vectors(4), *[vectors(4)[[2]]] * 36])
    for budget in (4, 5, 39, 40):
        kept = FacilityLocation(budget=budget)(table(values, rows[::-1].copy())).kept
        assert len(set(kept.tolist())) == len(kept) == budget


def test_a_target_is_what_is_represented():
    offered = np.eye(4, dtype=np.float32)
    target = np.array([[0.1, 0, 1, 0], [0, 0, 1, 0.2], [1, 0, 0, 0]], np.float32)
    found = FacilityLocation(budget=2)(table(offered, target=target))
    assert found.kept.tolist() == [0, 2]


def test_of_equal_rows_the_first_in_order_is_kept():
    values = np.repeat(vectors(3), 2, axis=0)
    order = np.array([1, 0, 2, 3, 5, 4])
    assert FacilityLocation(budget=3)(table(values, order)).kept.tolist() == [1, 2, 5]


def test_permuting_rows_permutes_what_is_kept():
    values = vectors(40)
    moved = np.random.default_rng(1).permutation(40)
    kept = FacilityLocation(budget=8)(table(values)).kept
    there = FacilityLocation(budget=8)(table(values[moved])).kept
    assert sorted(moved[there].tolist()) == kept.tolist()


def test_all_can_be_kept():
    axes = np.eye(3, dtype=np.float32)
    chosen, whole = greedy(axes, axes, 3, np.arange(3))
    assert sorted(chosen.tolist()) == [0, 1, 2]
    assert whole[-1] == 3
