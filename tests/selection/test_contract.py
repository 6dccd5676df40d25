"""What every selector keeps, found by its file alone and called without any argument of its own."""

from dataclasses import replace

import numpy as np
import pytest

from medssl import lookup
from medssl.errors import DataError
from medssl.selection import NOBODY, DescriptorTable, Selector, Tunable
from medssl.similarity import SIDE_PX, _picked
from medssl.similarity._picked import Picked

FAMILY = "medssl.selection"


KEEPS_ALL = ("all",)
FILTERS = ("entropy_filter",)  # which drop rows for what they are
BY_NUMBER = ("k_center",)


def members(protocol=Selector):
    for name in lookup.names(FAMILY):
        selector = lookup.build(FAMILY, name)
        for kind in selector.takes if isinstance(selector, protocol) else ():
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
        "image": rng.integers(256, size=(20, SIDE_PX**2), dtype=np.uint8),
        "content": np.concatenate([[[3, 0.5]], rng.uniform(size=(19, 2)) * [4, 1]]),
    }[member[1]]
    return DescriptorTable(
        np.tile(values, (2, 1)),
        np.arange(40) % 5,
        rng.permutation(40),
        target=values[:3] + rng.normal(size=(3, 3)) if member[1] == "vector" else None,
        stratum=np.arange(40) % 3 // 2,
        strata=("a", "b"),
    )


def test_it_is_a_selector_that_says_what_it_takes(selector, member):
    assert isinstance(selector, Selector)
    assert member[1] in selector.takes


def test_it_keeps_some_rows_once_in_order(selector, table, member):
    kept = selector(table).kept
    assert len(kept) > 0
    assert (len(kept) == len(table)) == (member[0] in KEEPS_ALL)
    assert (np.diff(kept) > 0).all()
    assert np.isin(kept, np.arange(len(table))).all()


def test_a_kept_case_stands_for_each(selector, table, member):
    selection = selector(table)
    nobody = {NOBODY} if member[0] in FILTERS else set()
    assert set(selection.stands_for) == set(selection.kept) | nobody
    np.testing.assert_array_equal(np.isnan(selection.similarity), selection.stands_for == NOBODY)
    np.testing.assert_array_equal(selection.stands_for[selection.kept], selection.kept)


def test_similarity_is_1_where_and_only_where_the_values_are_equal(selector, table):
    selection = selector(table)
    (rows,) = np.nonzero(selection.stands_for != NOBODY)
    equal = (table.values[rows] == table.values[selection.stands_for[rows]]).all(axis=1)
    assert (selection.similarity[rows] >= 0).all()
    np.testing.assert_array_equal(selection.similarity[rows] == 1, equal)


def test_it_answers_the_same_twice(selector, table):
    one, other = selector(table), selector(table)
    np.testing.assert_array_equal(one.kept, other.kept)
    np.testing.assert_array_equal(one.stands_for, other.stands_for)


def test_equal_cases_are_kept_once_each(selector, table):
    same = replace(table, values=np.repeat(table.values[:1], 40, axis=0))
    selection = selector(same)
    kept = selection.kept
    assert len(kept) == len(set(kept.tolist())) <= 40
    np.testing.assert_array_equal(selection.stands_for[kept], kept)


def test_one_case_stands_for_itself(selector, table):
    one = table.take(np.array([0]))
    selection = selector(one)
    assert (selection.kept.tolist(), selection.stands_for.tolist()) == ([0], [0])
    assert selection.similarity.tolist() == [1.0]


def test_it_leaves_the_table_alone(selector, table):
    before = table.values.copy(), table.group.copy(), table.order.copy()
    selector(table)
    for array, copy in zip((table.values, table.group, table.order), before, strict=True):
        np.testing.assert_array_equal(array, copy)


def test_groups_that_are_decided_on_by_themselves_can_be_decided_on_apart(selector, table):
    if not selector.is_by_group:
        pytest.skip("its groups depend on each other")
    whole = selector(table)
    for group in range(5):
        (rows,) = np.nonzero(table.group == group)
        alone = selector(table.take(rows))
        np.testing.assert_array_equal(rows[alone.stands_for], whole.stands_for[rows])
        np.testing.assert_array_equal(alone.similarity, whole.similarity[rows])


def test_where_rows_are_stored_changes_nothing(selector, table, member):
    if member[0] in BY_NUMBER:
        pytest.skip("its first row is drawn by number")
    moved = np.random.default_rng(1).permutation(len(table))
    kept = selector(table).kept
    there = moved[selector(table.take(moved)).kept]
    assert sorted(there.tolist()) == kept.tolist()


@pytest.mark.parametrize("member", list(members(Tunable)), indirect=True)
def test_the_knob_goes_from_fewer_rows_to_more(selector, table):
    knob = selector.knob(table)
    fewest, most = (selector.at(level)(table).kept for level in (knob.low, knob.high))
    assert 1 <= len(fewest) < len(most) <= len(table)
    assert selector.at(knob.low) != selector.at(knob.high)


def test_a_table_without_rows_is_refused(table):
    with pytest.raises(DataError, match="expected descriptors of at least one row, got none"):
        table.take(np.arange(0))
    with pytest.raises(DataError, match="expected descriptors of at least one target row, got non"):
        replace(table, target=table.values[:0])


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("part", ["values", "target"])
def test_rows_that_are_no_numbers_are_refused(bad, part):
    rows = np.ones((4, 2))
    spoiled = rows.copy()
    spoiled[2, 1] = bad
    keys = {"values": rows, "target": rows} | {part: spoiled}
    said = "rows hold numbers that are not finite, such as row 2"
    with pytest.raises(DataError, match=f"1 of 4 {'target ' * (part == 'target')}{said}"):
        DescriptorTable(group=np.zeros(4, int), order=np.arange(4), **keys)


def test_rows_that_follow_one_another_are_no_copy(table):
    assert np.shares_memory(table.values_of(np.arange(3, 9)), table.values)
    some = np.array([3, 4, 6])
    np.testing.assert_array_equal(table.values_of(some), table.values[some])
    assert not np.shares_memory(table.values_of(some), table.values)


def test_rows_that_are_left_where_they_lie_are_selected_from_as_any(selector, table, monkeypatch):
    monkeypatch.setattr(_picked, "COPIED", 0)
    some = np.random.default_rng(1).permutation(len(table))[:-3]
    rows = table.take(some)
    assert isinstance(rows.values, Picked)
    held = replace(rows, values=np.asarray(rows.values))
    found, expected = selector(rows), selector(held)
    np.testing.assert_array_equal(found.kept, expected.kept)
    np.testing.assert_array_equal(found.stands_for, expected.stands_for)
    np.testing.assert_array_equal(found.similarity, expected.similarity)
