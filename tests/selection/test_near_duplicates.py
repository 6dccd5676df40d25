"""Near duplicates: scopes, modes and order; the similarities have tests of their own."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medssl.errors import DataError
from medssl.selection import DescriptorTable
from medssl.selection.near_duplicates import NearDuplicates
from medssl.similarity.cosine import Cosine
from medssl.similarity.hamming import Hamming

words = st.integers(0, 15).map(lambda bits: bits | bits << 60)
rows = st.lists(st.tuples(words, st.integers(0, 2)), min_size=1, max_size=9)


def table_of(rows):
    """Rows in an order of their own."""
    values, group = zip(*rows, strict=True)
    order = np.random.default_rng(0).permutation(len(rows))
    return DescriptorTable(np.array(values, np.uint64)[:, None], np.array(group), order)


def within(radius, **keys):
    return NearDuplicates(similarity=Hamming(radius=radius), **keys)


def by_definition(rows, order, radius, scope):
    """Return the exemplar of each row: the first of the nearest within the radius, or itself."""
    stands_for = {}
    for row in sorted(range(len(rows)), key=lambda r: order[r]):
        best = None
        for known in [r for r, exemplar in stands_for.items() if r == exemplar]:
            if scope == "group" and rows[known][1] != rows[row][1]:
                continue
            bits = (rows[known][0] ^ rows[row][0]).bit_count()
            if bits <= radius and (best is None or bits < best[0]):
                best = bits, known
        stands_for[row] = row if best is None else best[1]
    return [stands_for[row] for row in range(len(rows))]


@settings(deadline=None)  # the first call compiles
@given(rows, st.integers(0, 4), st.sampled_from(["group", "all"]))
def test_it_is_the_definition(rows, radius, scope):
    table = table_of(rows)
    expected = by_definition(rows, table.order, radius, scope)
    selection = within(radius, scope=scope)(table)
    assert selection.stands_for.tolist() == expected
    assert selection.kept.tolist() == sorted(set(expected))
    bits = [(rows[row][0] ^ rows[kept][0]).bit_count() for row, kept in enumerate(expected)]
    assert selection.similarity.tolist() == pytest.approx([1 - b / 64 for b in bits])


@settings(deadline=None)  # the first call compiles
@given(rows, st.integers(0, 4), st.sampled_from(["group", "all"]))
def test_in_sequence_it_is_the_last_kept_of_the_scope_in_order(rows, radius, scope):
    table = table_of(rows)
    last, expected = {}, {}
    for row in np.argsort(table.order).tolist():
        key = rows[row][1] if scope == "group" else None
        if key not in last or (rows[last[key]][0] ^ rows[row][0]).bit_count() > radius:
            last[key] = row
        expected[row] = last[key]
    found = within(radius, scope=scope, mode="sequential")(table)
    assert found.stands_for.tolist() == [expected[row] for row in range(len(rows))]


def thermometer(*levels):
    """Hashes with as many ones in front, which differ in as many bits as their numbers do."""
    values = [[2**64 - 2 ** (64 - level)] for level in levels]
    rows = np.arange(len(levels))
    return DescriptorTable(np.array(values, np.uint64), np.zeros_like(rows), rows)


@pytest.mark.parametrize(
    ("radius", "kept"), [(6, [0, 7, 14]), (0, list(range(21))), (64, [0]), (1000, [0])]
)
def test_of_a_row_of_ever_more_ones_those_beyond_the_radius_are_kept(radius, kept):
    up = within(radius)(thermometer(*range(21)))
    assert up.kept.tolist() == kept
    up_and_down = within(radius)(thermometer(*range(21), *range(20, -1, -1)))
    assert up_and_down.kept.tolist() == kept


def test_in_sequence_a_row_is_compared_with_the_last_one_kept_alone():
    up_and_down = thermometer(*range(21), *range(20, -1, -1))
    assert within(6, mode="sequential")(up_and_down).kept.tolist() == [0, 7, 14, 34, 41]


def test_other_groups_change_nothing_and_copies_of_what_is_kept_add_nothing():
    rng = np.random.default_rng(0)
    values = rng.integers(2**64, size=(30, 1), dtype=np.uint64)
    order = np.arange(60)
    group = np.repeat([0, 1], 30)
    twice = DescriptorTable(np.concatenate([values, values]), group, order)
    assert within(20)(twice).kept.tolist() == [
        *within(20)(twice.take(np.arange(30))).kept,
        *(30 + within(20)(twice.take(np.arange(30, 60))).kept),
    ]
    alone = within(20, scope="all")(twice.take(np.arange(30))).kept
    assert 1 < len(alone) < 30
    assert within(20, scope="all")(twice).kept.tolist() == alone.tolist()


def test_order_decides_which_of_two_is_the_exemplar():
    table = DescriptorTable(np.zeros((3, 1), np.uint64), np.zeros(3, int), np.array([5, 2, 7]))
    assert NearDuplicates()(table).stands_for.tolist() == [1, 1, 1]


def test_pairs_of_one_scope_are_sampled():
    rng = np.random.default_rng(0)
    toward = np.repeat(np.eye(4), 5, axis=0) + rng.normal(size=(20, 4)) * 1e-3
    table = DescriptorTable(toward, np.repeat(np.arange(4), 5), rng.permutation(20))
    by_angle = {"similarity": Cosine()}
    assert NearDuplicates(**by_angle).pairs_in_scope(table, 200).min() > 0.99
    among_all = NearDuplicates(scope="all", **by_angle).pairs_in_scope(table, 2000)
    # Four of the nineteen others are of the same group, and none is compared with itself.
    assert (among_all > 0.99).mean() == pytest.approx(4 / 19, abs=0.03)
    assert among_all.max() < 1
    single = DescriptorTable(toward, np.arange(20), np.arange(20))
    assert len(NearDuplicates(**by_angle).pairs_in_scope(single, 10)) == 0


def test_vectors_are_refused_where_hashes_are_compared():
    table = DescriptorTable(np.zeros((2, 1)), np.arange(2), np.arange(2))
    with pytest.raises(DataError, match="takes hashes in uint64, got values in float64"):
        NearDuplicates()(table)


def test_a_row_without_a_direction_is_named_by_its_number_in_the_table():
    values = np.random.default_rng(0).normal(size=(40, 3))
    values[33] = 0
    table = DescriptorTable(values, np.arange(40) // 10, np.arange(40))
    for mode in ("exemplar", "sequential"):
        with pytest.raises(DataError, match=r"1 of 40 vectors are zero .*, such as row 33;"):
            NearDuplicates(similarity=Cosine(), mode=mode)(table)
