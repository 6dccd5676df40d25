"""Hamming against its definition, bit by bit, and its two fast ways against the plain one."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medssl.similarity import _multi_index
from medssl.similarity._multi_index import (
    CHUNK_BITS,
    exemplars_of_few,
    exemplars_of_many,
    shares_of,
    within,
)
from medssl.similarity.hamming import Hamming

words = st.integers(0, 15).map(lambda bits: bits | bits << 60)


def by_definition(hashes, radius):
    """Return the exemplar of each hash, an integer: the first of the nearest, or itself."""
    stands_for = []
    for row, one in enumerate(hashes):
        kept = [r for r in range(row) if stands_for[r] == r]
        bits = [(one ^ hashes[k]).bit_count() for k in kept]
        near = [(b, k) for b, k in zip(bits, kept, strict=True) if b <= radius]
        stands_for.append(min(near)[1] if near else row)
    return stands_for


@settings(deadline=None)  # the first call compiles
@given(st.lists(words, min_size=1, max_size=9), st.integers(0, 4))
def test_it_is_the_definition(hashes, radius):
    values = np.array(hashes, np.uint64)[:, None]
    assert Hamming(radius=radius).exemplars(values).tolist() == by_definition(hashes, radius)
    assert exemplars_of_many(values, radius).tolist() == by_definition(hashes, radius)


@settings(deadline=None)
@given(st.lists(st.tuples(words, words, words), min_size=1, max_size=9), st.integers(0, 9))
def test_of_several_words_all_bits_count(hashes, radius):
    joined = [a << 128 | b << 64 | c for a, b, c in hashes]
    values = np.array(hashes, np.uint64)
    assert Hamming(radius=radius).exemplars(values).tolist() == by_definition(joined, radius)
    assert exemplars_of_many(values, radius).tolist() == by_definition(joined, radius)


def walk(rows, num_words, is_skewed):
    rng = np.random.default_rng(0)
    bits = rng.random((rows, 64 * num_words)) < (0.12 if is_skewed else 0.5)
    # A bit stays what it was in nine of ten steps.
    stays = rng.random(bits.shape) < 0.97
    stays[:: rows // 40] = False
    stays[0] = False
    last = np.maximum.accumulate(np.where(stays, 0, np.arange(rows)[:, None]), axis=0)
    walked = np.take_along_axis(bits, last, axis=0)
    return np.packbits(walked, axis=1).view(">u8").astype(np.uint64)


@pytest.mark.parametrize(("num_words", "radius"), [(1, 0), (1, 3), (1, 6), (1, 10), (1, 20)])
@pytest.mark.parametrize("is_skewed", [False, True])
@pytest.mark.parametrize("cost", ["tables", "anchors", "either"])
def test_both_fast_ways_find_what_the_plain_one_does(
    monkeypatch, num_words, radius, is_skewed, cost
):
    hashes = walk(2500, num_words, is_skewed)
    if cost != "either":
        distances = 0.0 if cost == "tables" else np.inf
        monkeypatch.setattr(_multi_index.Index, "_distances_a_row", lambda _: distances)
    monkeypatch.setattr(_multi_index, "BLOCK_ROWS", 100)
    plain = exemplars_of_few(hashes, radius)
    assert 1 < len(np.unique(plain)) < 2500
    np.testing.assert_array_equal(exemplars_of_many(hashes, radius), plain)


@pytest.mark.parametrize(
    ("num_words", "radius"), [(2, 0), (2, 6), (2, 12), (2, 20), (24, 0), (24, 24), (24, 144)]
)
@pytest.mark.parametrize("distances", [0.0, np.inf])
def test_hashes_of_several_words_are_found(monkeypatch, num_words, radius, distances):
    monkeypatch.setattr(_multi_index.Index, "_distances_a_row", lambda _: distances)
    monkeypatch.setattr(_multi_index, "BLOCK_ROWS", 64)
    hashes = walk(1200, num_words, is_skewed=False)
    plain = exemplars_of_few(hashes, radius)
    assert 1 < len(np.unique(plain)) <= 1200 - (radius > 0)
    np.testing.assert_array_equal(exemplars_of_many(hashes, radius), plain)


def families(num_words):
    """Random hashes, each twice and with seven more that differ in up to 24 bits, in any order."""
    rng = np.random.default_rng(num_words)
    bits = np.repeat(rng.random((25, 64 * num_words)) < 0.5, 9, axis=0)
    flips = rng.integers(0, 25, size=(25, 9))
    flips[:, :2] = 0
    for row, flipped in enumerate(flips.ravel()):
        bits[row, rng.permutation(64 * num_words)[:flipped]] ^= True
    bits = bits[rng.permutation(len(bits))]
    return bits, np.packbits(bits, axis=1).view(">u8").astype(np.uint64)


def by_booleans(bits, radius):
    """Return the exemplar of each row of booleans: the first of the nearest, or itself."""
    stands_for = []
    for row, one in enumerate(bits):
        kept = [known for known in range(row) if stands_for[known] == known]
        apart = [int((one != bits[known]).sum()) for known in kept]
        is_near = min(apart, default=radius + 1) <= radius
        stands_for.append(kept[apart.index(min(apart))] if is_near else row)
    return stands_for


@pytest.mark.parametrize("radius", [0, 6, 12, 20])
@pytest.mark.parametrize("num_words", [1, 2, 3])
def test_packed_words_find_what_booleans_do_whatever_the_size_of_a_block(
    monkeypatch, num_words, radius
):
    bits, hashes = families(num_words)
    expected = by_booleans(bits, radius)
    assert 20 < len(set(expected)) <= len(bits) - 25
    assert Hamming(radius=radius).exemplars(hashes).tolist() == expected
    for size in (1, 7, 64, 2048):
        monkeypatch.setattr(_multi_index, "BLOCK_ROWS", size)
        assert exemplars_of_many(hashes, radius).tolist() == expected


@pytest.mark.parametrize("distances", [0.0, np.inf])
@pytest.mark.parametrize("radius", [64, 1000])
def test_a_radius_of_all_bits_keeps_the_first(monkeypatch, radius, distances):
    monkeypatch.setattr(_multi_index.Index, "_distances_a_row", lambda _: distances)
    monkeypatch.setattr(_multi_index, "BLOCK_ROWS", 3)
    hashes = np.array([[5], [2**64 - 6], [0], [77], [2**63], [2**64 - 1]], np.uint64)
    for find in (exemplars_of_few, exemplars_of_many):
        assert find(hashes, radius).tolist() == [0] * 6
        # One bit less and the opposite of the first is beyond it.
        beyond = [0, 1] if radius == 64 else [0, 0]
        assert find(hashes[:2], radius - 1).tolist() == beyond


@given(st.integers(0, 300), st.integers(1, 40))
def test_shares_and_one_more_bit_each_add_up_to_a_bit_more_than_the_radius(radius, num_chunks):
    more = [share + 1 for share in shares_of(radius, num_chunks)]
    if max(more) <= CHUNK_BITS:
        assert sum(more) == radius + 1
    else:
        # All values of that chunk are looked up: nothing evades that.
        assert max(more) == CHUNK_BITS + 1
    assert max(more) - min(more) <= 1


@given(st.integers(0, 40), st.integers(1, 5))
def test_hashes_within_the_radius_have_a_chunk_within_its_share(radius, num_chunks):
    shares = shares_of(radius, num_chunks)
    # The worst case differs in one bit more than its share in every chunk.
    evading = sum(min(share + 1, CHUNK_BITS + 1) for share in shares)
    assert evading > radius or max(shares) == CHUNK_BITS
    assert min(shares) >= -1


def test_no_share_is_larger_than_it_has_to_be():
    assert shares_of(6, 4) == [1, 1, 1, 0]
    assert shares_of(0, 4) == [0, -1, -1, -1]
    assert shares_of(64, 4) == [16, 15, 15, 15]


def test_masks_are_all_of_few_ones():
    masks = within(2)
    assert len(masks) == len(set(masks.tolist())) == 1 + 16 + 120
    assert max(int(mask).bit_count() for mask in masks) == 2


def test_the_share_of_equal_bits_counts_all_words():
    a = np.array([[0, 0], [1, 3]], np.uint64)
    b = np.array([[0, 0], [0, 0]], np.uint64)
    assert Hamming().pairs(a, b).tolist() == [1.0, 1 - 3 / 128]


def test_a_negative_radius_is_refused():
    with pytest.raises(ValueError, match="radius must be at least 0, got -1"):
        Hamming(radius=-1)
