"""Cluster balance: what is rare is kept, what is common is thinned out."""

import numpy as np
import pytest

from medssl.errors import DataError
from medssl.selection import DescriptorTable
from medssl.selection.cluster_balance import ClusterBalance

SIZES = (3, 20, 77)


@pytest.fixture
def table():
    """Three kinds of rows, of very different numbers."""
    rng = np.random.default_rng(0)
    kind = np.repeat(np.arange(3), SIZES)
    values = np.eye(3)[kind] * 10 + rng.normal(size=(100, 3)) * 0.1
    return DescriptorTable(values, kind, rng.permutation(100))


@pytest.mark.parametrize(("budget", "counts"), [(6, [2, 2, 2]), (15, [3, 6, 6]), (50, [3, 20, 27])])
def test_each_kind_gets_the_same_and_what_it_lacks_goes_to_the_others(table, budget, counts):
    found = ClusterBalance(clusters=3, budget=budget)(table)
    assert np.bincount(table.group[found.kept]).tolist() == counts
    np.testing.assert_array_equal(table.group[found.stands_for], table.group)


def test_the_seed_chooses_among_a_kind(table):
    one, same, other = (ClusterBalance(clusters=3, budget=9, seed=s)(table).kept for s in (0, 0, 1))
    assert one.tolist() == same.tolist() != other.tolist()


def test_a_rare_kind_is_kept_whole_before_a_common_one_gets_more(table):
    found = ClusterBalance(clusters=3, fraction=0.3)(table)
    assert len(found.kept) == 30
    assert set(np.flatnonzero(table.group == 0)) <= set(found.kept)
    assert np.bincount(table.group[found.kept]).tolist() in ([3, 13, 14], [3, 14, 13])


def test_in_another_place_the_same_rows_are_kept_though_kinds_are_not_clear():
    values, rows = np.random.default_rng(0).normal(size=(90, 4)), np.arange(90)
    moved = np.random.default_rng(1).permutation(90)
    kept = ClusterBalance(budget=23)(DescriptorTable(values, rows, rows)).kept
    there = ClusterBalance(budget=23)(DescriptorTable(values[moved], rows, moved)).kept
    assert sorted(moved[there].tolist()) == kept.tolist()


def test_rows_of_fewer_directions_than_clusters_by_default_are_balanced_all_the_same():
    values = np.repeat(np.eye(3), [2, 10, 18], axis=0) * np.arange(1, 31)[:, None]
    rows = np.arange(30)
    kept = ClusterBalance(budget=12)(DescriptorTable(values, rows, rows)).kept
    assert np.bincount(values[kept].argmax(axis=1)).tolist() == [2, 5, 5]


def test_more_clusters_than_different_rows_are_refused():
    values = np.repeat(np.eye(3), 4, axis=0)
    rows = np.arange(12)
    with pytest.raises(DataError, match="clusters is 4, but there are only 3 different rows"):
        ClusterBalance(clusters=4)(DescriptorTable(values, rows, rows))


def test_no_clusters_are_refused():
    with pytest.raises(ValueError, match="clusters must be at least 1, got 0"):
        ClusterBalance(clusters=0)
