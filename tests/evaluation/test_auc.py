"""AUCs against scikit-learn, against pairs as loops, and against resamples made of copies."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from medssl.errors import DataError
from medssl.evaluation.auc import aucs_of, pairs_of
from medssl.evaluation.resampling import Resamples, resample

NUM_CASES = 40


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def cases(rng):
    """Labels, subjects of several cases each, and sizes."""
    labels = rng.uniform(size=NUM_CASES) < 0.4
    return labels, rng.integers(15, size=NUM_CASES), rng.uniform(4, 12, size=NUM_CASES)


def coarse(rng, *shape):
    """Scores of which many are tied."""
    return rng.integers(6, size=shape).astype(float)


def one_fold(repeats=1):
    return np.zeros((repeats, NUM_CASES), int)


def by_loops(labels, folds, scores, weights, matches=lambda a, b: True):
    won = total = 0.0
    for fold, score in zip(folds, scores, strict=True):
        for a in np.flatnonzero(labels):
            for b in np.flatnonzero(~labels):
                if fold[a] == fold[b] and matches(a, b):
                    weight = weights[a] * weights[b]
                    total += weight
                    if score[a] > score[b]:
                        won += weight
                    elif score[a] == score[b]:
                        won += weight / 2
    return won / total


def test_of_one_fold_it_is_scikit_learns(rng, cases):
    labels, *_ = cases
    scores = coarse(rng, 1, NUM_CASES)
    pairs = pairs_of(labels, one_fold())
    (found,) = pairs.auc(pairs.won(scores), np.ones((1, NUM_CASES)))
    assert found == pytest.approx(roc_auc_score(labels, scores[0]))
    assert len(pairs) == labels.sum() * (~labels).sum()


def test_pairs_of_a_fold_are_those_of_a_double_loop(rng, cases):
    labels, _, size = cases
    folds, scores = rng.integers(3, size=(2, NUM_CASES)), coarse(rng, 2, NUM_CASES)
    weights = rng.integers(4, size=NUM_CASES).astype(float)
    pairs = pairs_of(labels, folds)
    (found,) = pairs.auc(pairs.won(scores), weights[None])
    assert found == pytest.approx(by_loops(labels, folds, scores, weights))

    matched = pairs_of(labels, folds, matched_on=size, tolerance=1.5)
    (found,) = matched.auc(matched.won(scores), weights[None])
    assert found == pytest.approx(
        by_loops(labels, folds, scores, weights, lambda a, b: abs(size[a] - size[b]) <= 1.5)
    )
    assert 0 < len(matched) < len(pairs)


def test_pairs_match_up_to_the_tolerance_itself():
    labels = np.array([True, False, False])
    pairs = pairs_of(
        labels, np.zeros((1, 3), int), matched_on=np.array([6.0, 6.5, 6.75]), tolerance=0.5
    )
    assert pairs.compared.tolist() == [[[True, False]]]


def test_a_weight_is_a_number_of_copies(rng, cases):
    labels, subjects, _ = cases
    scores = coarse(rng, 1, NUM_CASES)
    pairs = pairs_of(labels, one_fold())
    drawn = resample(subjects, num_draws=1, num_resamples=20, seed=1).cases
    found = pairs.auc(pairs.won(scores), drawn)
    for weights, auc in zip(drawn.astype(int), found, strict=True):
        copies = np.repeat(np.arange(NUM_CASES), weights)
        assert auc == pytest.approx(roc_auc_score(labels[copies], scores[0, copies]))


def test_subjects_are_drawn_with_all_their_cases(cases):
    _, subjects, _ = cases
    drawn = resample(subjects, num_draws=3, num_resamples=200, seed=1)
    for subject in set(subjects.tolist()):
        assert (np.ptp(drawn.cases[:, subjects == subject], axis=1) == 0).all()
    _, first = np.unique(subjects, return_index=True)
    assert (drawn.cases[:, first].sum(axis=1) == len(first)).all()
    assert (drawn.draws.sum(axis=1) == 3).all()
    assert drawn.cases[:, first].var() == pytest.approx(1, abs=0.15)  # a Poisson's, nearly


def test_the_offset_and_scale_of_a_folds_model_change_nothing(rng, cases):
    labels, *_ = cases
    folds, scores = rng.integers(4, size=(1, NUM_CASES)), coarse(rng, 1, NUM_CASES)
    pairs = pairs_of(labels, folds)
    moved = scores * (1 + folds) + 100.0 * folds
    np.testing.assert_array_equal(pairs.won(moved), pairs.won(scores))
    pooled = pairs_of(labels, one_fold())
    assert (pooled.won(moved) != pooled.won(scores)).any()


def test_draws_and_subjects_are_both_resampled(rng, cases):
    labels, subjects, _ = cases
    scores = [coarse(rng, 1, NUM_CASES) + labels for _ in range(3)]
    pairs = pairs_of(labels, one_fold())
    drawn = resample(subjects, num_draws=3, num_resamples=150, seed=2)
    found = aucs_of(scores, pairs, drawn)
    means = []
    for weights, draws in zip(drawn.cases.astype(int), drawn.draws.astype(int), strict=True):
        copies = np.repeat(np.arange(NUM_CASES), weights)
        own = [roc_auc_score(labels[copies], score[0, copies]) for score in scores]
        means.append(np.mean(np.repeat(own, draws)))
    interval = found.interval(drawn, confidence=0.9)
    assert (interval.low, interval.high) == pytest.approx(tuple(np.quantile(means, [0.05, 0.95])))
    assert interval.mean == pytest.approx(np.mean([roc_auc_score(labels, s[0]) for s in scores]))


def test_a_difference_is_paired_by_resample_and_draw(rng, cases):
    labels, subjects, _ = cases
    scores = [coarse(rng, 1, NUM_CASES) + labels for _ in range(3)]
    better = [score + 0.6 * labels for score in scores]
    pairs = pairs_of(labels, one_fold())
    drawn = resample(subjects, num_draws=3, num_resamples=300, seed=3)
    low, high, alone = (aucs_of(given, pairs, drawn) for given in (scores, better, scores[:1]))
    difference = high.minus(low).interval(drawn, confidence=0.95)
    whole = low.interval(drawn, confidence=0.95)
    assert difference.mean == pytest.approx(float(np.mean(high.whole - low.whole)))
    assert 0 < difference.high - difference.low < (whole.high - whole.low) / 2
    same = low.minus(low).interval(drawn, confidence=0.95)
    assert (same.mean, same.low, same.high) == (0, 0, 0)
    # What has one draw is compared with each.
    np.testing.assert_allclose(alone.minus(low).whole, low.whole[0] - low.whole)
    assert alone.minus(low).resampled.shape == (3, 300)


def test_a_resample_without_a_pair_is_left_out():
    labels = np.array([True, False, False])
    pairs = pairs_of(labels, np.zeros((1, 3), int))
    drawn = Resamples(np.array([[0.0, 2, 1], [1.0, 1, 1]]), np.ones((2, 1)))
    found = aucs_of([np.array([[2.0, 1, 3]])], pairs, drawn)
    assert np.isnan(found.resampled).tolist() == [[True, False]]
    interval = found.interval(drawn, confidence=0.95)
    assert (interval.mean, interval.low, interval.high) == (0.5, 0.5, 0.5)


def test_cases_of_which_none_make_a_pair_are_refused():
    labels, size = np.array([True, False]), np.array([5.0, 9.0])
    with pytest.raises(DataError, match=r"none of 1 positive and 1 negative .* pair in one fold$"):
        pairs_of(labels, np.array([[0, 1]]))
    with pytest.raises(DataError, match="in one fold that differs by at most 3"):
        pairs_of(labels, np.array([[0, 0]]), matched_on=size, tolerance=3.0)
