"""Cosine against its definition in float64, right at the limit too."""

import numpy as np
import pytest

from medssl.errors import DataError
from medssl.similarity import _greedy, cosine
from medssl.similarity.cosine import Cosine, Directions, directions


def by_definition(vectors, least):
    exact = vectors.astype(np.float64)
    exact /= np.linalg.norm(exact, axis=1, keepdims=True)
    kept = []
    for row, one in enumerate(exact):
        if not any((vectors[row] == vectors[k]).all() or one @ exact[k] >= least for k in kept):
            kept.append(row)
    return kept


def kept(vectors, least):
    exemplar = Cosine(least=least).exemplars(vectors)
    return np.flatnonzero(exemplar == np.arange(len(vectors))).tolist()


@pytest.mark.parametrize("least", [0.3, 0.7, 0.9])
def test_it_keeps_what_the_definition_keeps(least):
    vectors = np.random.default_rng(0).normal(size=(600, 5)).astype(np.float32)
    found = kept(vectors, least)
    assert found == by_definition(vectors, least)
    assert 1 < len(found) < 600


def test_what_rounding_might_decide_is_computed_in_double():
    # Angles whose cosines lie closer to the limit than float32 can tell, on either side.
    angle = np.arccos(0.9)
    steps = np.array([1e-8, -1e-8, 3e-8, -3e-8])
    for seed in range(20):
        basis = np.linalg.qr(np.random.default_rng(seed).normal(size=(64, 2)))[0]
        turned = np.array([0.0, *(angle + steps)])
        vectors = np.cos(turned)[:, None] * basis[:, 0] + np.sin(turned)[:, None] * basis[:, 1]
        is_near = Cosine(least=0.9).pairs(vectors[[0] * 4], vectors[1:]) >= 0.9
        for row, near in enumerate(is_near, start=1):
            two = vectors[[0, row]]
            assert (len(kept(two, 0.9)) == 1) == near


def test_a_limit_of_1_merges_equal_rows_alone():
    vectors = np.random.default_rng(0).normal(size=(40, 300)).astype(np.float32)
    near = np.nextafter(vectors, np.float32(np.inf))
    assert kept(np.concatenate([vectors, vectors, near]), 1.0)[:40] == list(range(40))
    assert not set(kept(np.concatenate([vectors, vectors]), 1.0)) & set(range(40, 80))


def test_a_limit_of_1_tells_directions_apart_that_float32_products_cannot():
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(40, 300)).astype(np.float32)
    turned = (vectors * (1 + 1e-6 * rng.normal(size=vectors.shape))).astype(np.float32)
    assert kept(np.concatenate([vectors, turned]), 1.0) == list(range(80))


def test_where_rounding_puts_the_wrong_exemplar_first_the_right_one_is_found(monkeypatch):
    """Each row has exemplars at the limit, give or take less than a product's rounding."""
    rng = np.random.default_rng(0)
    axes = np.linalg.qr(rng.normal(size=(256, 40)))[0].T
    rows = [*axes]
    for _ in range(60):
        some = rng.choice(40, size=3, replace=False)
        part = 0.5 + rng.normal(size=3) * 2e-8
        rest = rng.normal(size=256)
        rest -= axes.T @ (axes @ rest)
        rows.append(part @ axes[some] + rest / np.linalg.norm(rest) * np.sqrt(1 - part @ part))
    values = np.array(rows, np.float32)
    exemplar, stands_for = Cosine(least=0.5), []
    for row in range(100):
        before = [r for r in range(row) if stands_for[r] == r]
        alike = exemplar.pairs(values[[row] * len(before)], values[before])
        near = [k for k, one in zip(before, alike, strict=True) if one >= 0.5]
        stands_for.append(near[0] if near else row)
    expected = [row for row in range(100) if stands_for[row] == row]
    assert 40 < len(expected) < 100
    for block in (3, 256):
        monkeypatch.setattr(_greedy, "BLOCK_ROWS", block)
        assert kept(values, 0.5) == expected


@pytest.mark.parametrize(("block", "tile"), [(1, 1), (1, 2), (4, 3), (256, 4096)])
def test_of_equally_alike_exemplars_the_first_stands_for_a_row(monkeypatch, block, tile):
    monkeypatch.setattr(_greedy, "BLOCK_ROWS", block)
    monkeypatch.setattr(_greedy, "TILE_ROWS", tile)
    axes = np.eye(6, dtype=np.float32)
    pairs = [(0, 5), (4, 1), (5, 2), (3, 4)]
    values = np.array([*axes, *(axes[a] + axes[b] for a, b in pairs)])
    expected = [*range(6), *(min(pair) for pair in pairs)]
    assert Cosine(least=0.5).exemplars(values).tolist() == expected


def test_length_changes_nothing():
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(300, 4)).astype(np.float32)
    longer = vectors * 2.0 ** rng.integers(-3, 4, size=(300, 1)).astype(np.float32)
    assert kept(longer, 0.8) == kept(vectors, 0.8)


def test_vectors_without_a_direction_are_refused():
    vectors = np.eye(5, dtype=np.float32)
    vectors[3] = 0
    with pytest.raises(DataError, match=r"1 of 5 vectors are zero and have no direction, .* row 3"):
        Cosine().exemplars(vectors)


def test_rows_without_a_direction_are_counted_among_all_and_not_in_a_block():
    vectors = np.random.default_rng(0).normal(size=(600, 4)).astype(np.float32)
    vectors[[520, 590]] = 0
    for refuses in (Cosine().check, Cosine().exemplars, Cosine().last_kept, directions):
        with pytest.raises(DataError, match=r"2 of 600 vectors are zero .*, such as row 520;"):
            refuses(vectors)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.int16])
@pytest.mark.parametrize("at_once", [1, 23, 1 << 21])
def test_directions_are_those_of_double_precision_however_many_are_computed_at_a_time(
    monkeypatch, dtype, at_once
):
    monkeypatch.setattr(cosine, "AT_ONCE", at_once)
    vectors = (100 * np.random.default_rng(0).normal(size=(50, 5))).astype(dtype)
    exact = vectors.astype(np.float64)
    expected = (exact / np.linalg.norm(exact, axis=1, keepdims=True)).astype(np.float32)
    np.testing.assert_array_equal(directions(vectors), expected)
    some = np.array([9, 3, 3, 40])
    np.testing.assert_array_equal(Directions(vectors)[some], expected[some])
    np.testing.assert_array_equal(Directions(vectors)[4:9], expected[4:9])


def test_opposite_rows_are_not_less_alike_than_unrelated_ones():
    a = np.array([[1.0, 0.0], [1.0, 0.0]], np.float32)
    b = np.array([[-1.0, 0.0], [0.0, 1.0]], np.float32)
    assert Cosine().pairs(a, b).tolist() == [0.0, 0.0]


@pytest.mark.parametrize("least", [0.0, -0.5, 1.1, np.nan])
def test_a_limit_out_of_range_is_refused(least):
    with pytest.raises(ValueError, match=r"least must be in \(0, 1\]"):
        Cosine(least=least)


def test_vectors_too_long_for_the_bound_on_rounding_are_refused():
    with pytest.raises(DataError, match=r"at most 4096 numbers, got 4097"):
        Cosine().exemplars(np.ones((2, 4097), np.float32))
