"""Near duplicates against their definition, bit by bit."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medssl.errors import DataError
from medssl.selection import DescriptorTable, near_duplicates
from medssl.selection.near_duplicates import NearDuplicates

words = st.integers(0, 15).map(lambda bits: bits | bits << 60)
rows = st.lists(st.tuples(words, st.integers(0, 2), st.integers(0, 5)), min_size=1, max_size=9)


def table_of(rows):
    values, group, order = zip(*rows, strict=True)
    return DescriptorTable(np.array(values, np.uint64)[:, None], np.array(group), np.array(order))


def by_definition(rows, radius, scope):
    """Return the exemplar of each row: the first of the nearest within the radius, or itself."""
    stands_for = {}
    for row in sorted(range(len(rows)), key=lambda r: rows[r][2]):
        best = None
        for known in [r for r, exemplar in stands_for.items() if r == exemplar]:
            if scope == "group" and rows[known][1] != rows[row][1]:
                continue
            bits = (rows[known][0] ^ rows[row][0]).bit_count()
            if bits <= radius and (best is None or bits < best[0]):
                best = bits, known
        stands_for[row] = row if best is None else best[1]
    return [stands_for[row] for row in range(len(rows))]


@given(rows, st.integers(0, 4), st.sampled_from(["group", "all"]))
def test_it_is_the_definition(rows, radius, scope):
    expected = by_definition(rows, radius, scope)
    selection = NearDuplicates(radius=radius, scope=scope)(table_of(rows))
    assert selection.stands_for.tolist() == expected
    assert selection.kept.tolist() == sorted(set(expected))
    bits = [(rows[row][0] ^ rows[kept][0]).bit_count() for row, kept in enumerate(expected)]
    assert selection.similarity.tolist() == pytest.approx([1 - b / 64 for b in bits])


@pytest.mark.parametrize("num_words", [1, 3])
@pytest.mark.parametrize("scope", ["group", "all"])
def test_the_size_of_a_block_changes_nothing(monkeypatch, num_words, scope):
    rng = np.random.default_rng(0)
    values = rng.integers(64, size=(300, num_words), dtype=np.uint64)
    table = DescriptorTable(values, rng.integers(3, size=300), rng.permutation(300))
    whole = NearDuplicates(radius=2 * num_words, scope=scope)(table)
    assert 1 < len(whole.kept) < 250
    monkeypatch.setattr(near_duplicates, "BLOCK_ROWS", 7)
    monkeypatch.setattr(near_duplicates, "TILE_EXEMPLARS", 5)
    parts = NearDuplicates(radius=2 * num_words, scope=scope)(table)
    assert parts.stands_for.tolist() == whole.stands_for.tolist()
    assert parts.similarity.tolist() == whole.similarity.tolist()


def thermometer(*levels):
    """Hashes with as many ones in front, which differ in as many bits as their numbers do."""
    values = [[2**64 - 2 ** (64 - level)] for level in levels]
    rows = np.arange(len(levels))
    return DescriptorTable(np.array(values, np.uint64), np.zeros_like(rows), rows)


@pytest.mark.parametrize(
    ("radius", "kept"), [(6, [0, 7, 14]), (0, list(range(21))), (64, [0]), (1000, [0])]
)
def test_of_a_row_of_ever_more_ones_those_beyond_the_radius_are_kept(radius, kept):
    up = NearDuplicates(radius=radius)(thermometer(*range(21)))
    assert up.kept.tolist() == kept
    up_and_down = NearDuplicates(radius=radius)(thermometer(*range(21), *range(20, -1, -1)))
    assert up_and_down.kept.tolist() == kept


def test_order_decides_which_of_two_is_the_exemplar():
    table = DescriptorTable(np.zeros((3, 1), np.uint64), np.zeros(3, int), np.array([5, 2, 7]))
    assert NearDuplicates()(table).stands_for.tolist() == [1, 1, 1]


def test_vectors_are_refused():
    table = DescriptorTable(np.zeros((2, 1)), np.arange(2), np.arange(2))
    with pytest.raises(DataError, match="takes hashes in uint64, got values in float64"):
        NearDuplicates()(table)


def test_a_negative_radius_is_refused():
    with pytest.raises(ValueError, match="radius must be at least 0, got -1"):
        NearDuplicates(radius=-1)
