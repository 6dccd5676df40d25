"""What every selector keeps, found by its file alone and called without any argument of its own."""

from dataclasses import replace

import numpy as np
import pytest

from medssl import lookup
from medssl.selection import DescriptorTable

FAMILY = "medssl.selection"


KINDS = {"vector": ["vector"], "hash": ["hash"], "any": ["vector", "hash"]}


def members():
    for name in lookup.names(FAMILY):
        for kind in KINDS[lookup.find(FAMILY, name).takes]:
            yield pytest.param((name, kind), id=f"{name}-{kind}")


@pytest.fixture(params=members())
def member(request):
    return request.param


@pytest.fixture
def selector(member):
    return lookup.build(FAMILY, member[0])


@pytest.fixture
def table(member):
    """Forty cases of five subjects, in which the second half repeats the first."""
    rng = np.random.default_rng(0)
    values = {
        "vector": rng.normal(size=(20, 3)),
        "hash": rng.integers(2**64, size=(20, 1), dtype=np.uint64),
    }[member[1]]
    return DescriptorTable(np.tile(values, (2, 1)), np.arange(40) % 5, rng.permutation(40))


def test_it_keeps_some_rows_once_in_order(selector, table):
    kept = selector(table).kept
    assert 0 < len(kept) < len(table)
    assert (np.diff(kept) > 0).all()
    assert np.isin(kept, np.arange(len(table))).all()


def test_a_kept_case_stands_for_each(selector, table):
    selection = selector(table)
    assert set(selection.stands_for) == set(selection.kept)
    np.testing.assert_array_equal(selection.stands_for[selection.kept], selection.kept)


def test_similarity_is_1_where_and_only_where_the_values_are_equal(selector, table):
    selection = selector(table)
    equal = (table.values == table.values[selection.stands_for]).all(axis=1)
    assert (selection.similarity >= 0).all()
    np.testing.assert_array_equal(selection.similarity == 1, equal)


def test_it_answers_the_same_twice(selector, table):
    one, other = selector(table), selector(table)
    np.testing.assert_array_equal(one.kept, other.kept)
    np.testing.assert_array_equal(one.stands_for, other.stands_for)


def test_equal_cases_are_kept_once_each(selector, table):
    same = replace(table, values=np.repeat(table.values[:1], 40, axis=0))
    selection = selector(same)
    kept = selection.kept
    assert len(kept) == len(set(kept.tolist())) < 40
    np.testing.assert_array_equal(selection.stands_for[kept], kept)


def test_one_case_stands_for_itself(selector, table):
    one = DescriptorTable(table.values[:1], table.group[:1], table.order[:1])
    selection = selector(one)
    assert (selection.kept.tolist(), selection.stands_for.tolist()) == ([0], [0])
    assert selection.similarity.tolist() == [1.0]


def test_it_leaves_the_table_alone(selector, table):
    before = table.values.copy(), table.group.copy(), table.order.copy()
    selector(table)
    for array, copy in zip((table.values, table.group, table.order), before, strict=True):
        np.testing.assert_array_equal(array, copy)
