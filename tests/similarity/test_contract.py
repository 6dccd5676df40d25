"""What every similarity keeps, found by its file alone and called without any argument."""

import numpy as np
import pytest

from medssl import lookup
from medssl.errors import DataError
from medssl.similarity import SIDE_PX, Similarity, _greedy, _multi_index, hamming
from medssl.similarity._picked import Picked

FAMILY = "medssl.similarity"
WRONG = {"vector": None, "hash": np.float32, "image": np.float32}


@pytest.fixture(params=lookup.names(FAMILY))
def similarity(request):
    return lookup.build(FAMILY, request.param)


@pytest.fixture
def values(similarity):
    """A walk of 30 rows, each near the one before, that is then taken once more."""
    rng = np.random.default_rng(0)
    if similarity.takes == "hash":
        flips = np.uint64(1) << rng.integers(64, size=(30, 2, 2), dtype=np.uint64)
        walk = np.bitwise_xor.accumulate(flips.sum(axis=2, dtype=np.uint64), axis=0)
    elif similarity.takes == "image":
        steps = rng.integers(0, 2, size=(30, 16, 16))
        coarse = (np.cumsum(steps, axis=0) * 8).astype(np.uint8)
        scale = SIDE_PX // 16
        walk = coarse.repeat(scale, axis=1).repeat(scale, axis=2).reshape(30, -1)
    else:
        walk = np.cumsum(rng.normal(size=(30, 8)), axis=0).astype(np.float32)
    return np.concatenate([walk, walk])


def by_definition(similarity, values, least):
    """Return the exemplar of each row: the most alike, of equals the first, or itself."""
    stands_for = []
    for row in range(len(values)):
        kept = [r for r in range(row) if stands_for[r] == r]
        alike = [float(similarity.pairs(values[[row]], values[[k]])[0]) for k in kept]
        near = [(-a, k) for a, k in zip(alike, kept, strict=True) if a >= least]
        stands_for.append(min(near)[1] if near else row)
    return stands_for


def limit(similarity):
    if similarity.takes == "hash":
        return 1 - similarity.radius / 128  # two words
    return similarity.least


def test_it_is_a_similarity(similarity):
    assert isinstance(similarity, Similarity)


def test_a_row_is_like_itself_and_pairs_are_alike_either_way(similarity, values):
    rng = np.random.default_rng(1)
    other = np.concatenate([values[30:40], values[rng.permutation(50)]])
    alike = similarity.pairs(values, other)
    assert ((alike >= 0) & (alike <= 1)).all()
    np.testing.assert_allclose(alike, similarity.pairs(other, values), rtol=1e-5)
    np.testing.assert_array_equal(alike == 1, (values == other).all(axis=1))
    assert 0 < (alike == 1).sum() < len(alike)


def test_rows_that_are_all_but_equal_are_not_as_alike_as_equal_ones(similarity, values):
    least = values[:1].copy()
    least[0, -1] = least[0, -1] ^ 1 if least.dtype.kind == "u" else least[0, -1] * (1 + 1e-6)
    assert not np.array_equal(least, values[:1])
    assert 0.98 < similarity.pairs(values[:1], least)[0] < 1


@pytest.mark.parametrize(("name", "change"), [("cosine", lambda v: 2 * v), ("nmi", np.invert)])
def test_rows_that_differ_in_what_is_not_compared_are_not_told_to_be_equal(name, change):
    rows = np.random.default_rng(0).integers(1, 8, size=(3, SIDE_PX**2)).astype(np.uint8)
    rows = rows if name == "nmi" else rows[:, :100]
    alike = lookup.build(FAMILY, name).pairs(rows, change(rows))
    assert (alike < 1).all()
    np.testing.assert_allclose(alike, 1)


def test_what_stands_for_a_row_is_itself_or_before_it_and_stands_for_itself(similarity, values):
    for found in (similarity.exemplars(values), similarity.last_kept(values)):
        assert found[0] == 0
        assert (found <= np.arange(60)).all()
        np.testing.assert_array_equal(found[found], found)


def test_exemplars_are_below_the_limit_and_the_rest_at_or_above_it(similarity, values):
    found = similarity.exemplars(values)
    kept = np.unique(found)
    one, other = np.triu_indices(len(kept), 1)
    assert (similarity.pairs(values[kept[one]], values[kept[other]]) < limit(similarity)).all()
    assert (similarity.pairs(values, values[found]) >= limit(similarity)).all()


def test_exemplars_of_exemplars_are_they_themselves(similarity, values):
    kept = np.unique(similarity.exemplars(values))
    assert similarity.exemplars(values[kept]).tolist() == list(range(len(kept)))


def test_exemplars_are_those_of_the_definition(similarity, values):
    found = similarity.exemplars(values)
    assert found.tolist() == by_definition(similarity, values, limit(similarity))
    assert 1 < len(set(found.tolist())) < 30


def test_the_last_kept_is_the_one_that_is_compared_with(similarity, values):
    last, expected = 0, []
    for row in range(len(values)):
        if similarity.pairs(values[[row]], values[[last]])[0] < limit(similarity):
            last = row
        expected.append(last)
    assert similarity.last_kept(values).tolist() == expected
    assert 1 < len(set(expected)) < 60


def test_the_size_of_a_block_changes_nothing(similarity, values, monkeypatch):
    whole = similarity.exemplars(values), similarity.last_kept(values)
    monkeypatch.setattr(_greedy, "BLOCK_ROWS", 7)
    monkeypatch.setattr(_greedy, "TILE_ROWS", 3)
    monkeypatch.setattr(_multi_index, "BLOCK_ROWS", 7)
    monkeypatch.setattr(hamming, "FEW", 0)
    monkeypatch.setattr(hamming, "BLOCK_ROWS", 5)
    np.testing.assert_array_equal(similarity.exemplars(values), whole[0])
    np.testing.assert_array_equal(similarity.last_kept(values), whole[1])


def test_rows_that_are_left_where_they_lie_are_compared_as_any(similarity, values):
    moved = np.random.default_rng(2).permutation(60)
    rows = Picked(values[moved], np.argsort(moved))
    similarity.check(rows)
    np.testing.assert_array_equal(similarity.exemplars(rows), similarity.exemplars(values))
    np.testing.assert_array_equal(similarity.last_kept(rows), similarity.last_kept(values))


def test_the_knob_goes_from_few_exemplars_to_one_for_each_different_row(similarity, values):
    knob = similarity.knob(values.shape[1])
    # Vectors that point away from each other are near duplicates at no limit.
    assert len(set(similarity.at(knob.low).exemplars(values).tolist())) < 5
    assert len(set(similarity.at(knob.high).exemplars(values).tolist())) == 30


def test_a_level_is_a_limit_on_the_knob_and_all_else_stays(similarity, values):
    knob = similarity.knob(values.shape[1])
    assert knob.low < knob.high
    middle = similarity.at(float(round((knob.low + knob.high) / 2)) if knob.is_whole else 0.625)
    assert middle != similarity
    assert middle.at(-similarity.radius if knob.is_whole else similarity.least) == similarity
    expected = by_definition(middle, values, limit(middle))
    assert middle.exemplars(values).tolist() == expected


def test_one_row_stands_for_itself(similarity, values):
    assert similarity.exemplars(values[:1]).tolist() == [0]
    assert similarity.last_kept(values[:1]).tolist() == [0]


def test_rows_of_another_kind_are_refused(similarity, values):
    if (wrong := WRONG[similarity.takes]) is None:
        pytest.skip("vectors may be of any numbers")
    for refuses in (similarity.check, similarity.exemplars, similarity.last_kept):
        with pytest.raises(DataError, match="uint"):
            refuses(values.astype(wrong))
