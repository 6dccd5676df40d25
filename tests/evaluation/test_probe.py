"""The probe against the formula minimized by SciPy, and what it must not know of held-out cases."""

import numpy as np
import pytest
from scipy.optimize import minimize

from medssl.errors import DataError
from medssl.evaluation.auc import aucs_of, pairs_of
from medssl.evaluation.probe import INNER_FOLDS, STRENGTHS, LinearProbe, fit, grouped_folds
from medssl.evaluation.resampling import resample

PROBE = LinearProbe(num_folds=4, num_repeats=1, seed=3)


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def cases(rng):
    """Vectors that tell the labels in part, of 40 subjects with one to four cases."""
    subjects = np.repeat(np.arange(40), rng.integers(1, 5, size=40))
    labels = rng.uniform(size=len(subjects)) < 0.4
    values = rng.normal(size=(len(subjects), 6)) * [1, 10, 100, 1, 1, 1] + 5
    values[:, 0] += labels
    return values, subjects, labels


def scores_of(values, subjects, labels, probe=PROBE):
    return probe.scores(values, subjects, labels, probe.folds(subjects, labels))


def interval_of(values, subjects, labels):
    probe = LinearProbe(num_folds=4, num_repeats=2)
    folds = probe.folds(subjects, labels)
    scores = probe.scores(values, subjects, labels, folds)
    drawn = resample(subjects, num_draws=1, num_resamples=500, seed=0)
    return aucs_of([scores], pairs_of(labels, folds), drawn).interval(drawn, confidence=0.95)


def test_no_subject_is_in_two_folds_and_each_has_its_share_of_positive_cases(cases):
    _, subjects, labels = cases
    fold = grouped_folds(subjects, labels, num_folds=4, seed=0)
    assert set(fold.tolist()) == {0, 1, 2, 3}
    for subject in set(subjects.tolist()):
        assert len(set(fold[subjects == subject].tolist())) == 1
    for number in range(4):
        assert labels[fold == number].mean() == pytest.approx(labels.mean(), abs=0.1)


def test_folds_follow_from_the_seed_and_each_repeat_has_others(cases):
    _, subjects, labels = cases
    probe = LinearProbe(num_folds=4, num_repeats=3, seed=1)
    folds = probe.folds(subjects, labels)
    np.testing.assert_array_equal(folds, probe.folds(subjects, labels))
    assert len(np.unique(folds, axis=0)) == 3
    other = LinearProbe(num_folds=4, num_repeats=3, seed=2).folds(subjects, labels)
    assert (folds != other).any(axis=1).all()


def test_labels_of_a_fold_are_not_known_to_its_model(cases):
    values, subjects, labels = cases
    folds = PROBE.folds(subjects, labels)
    own = folds[0] == 2
    before = PROBE.scores(values, subjects, labels, folds)[0]
    after = PROBE.scores(values, subjects, np.where(own, ~labels, labels), folds)[0]
    np.testing.assert_array_equal(after[own], before[own])
    assert (after[~own] != before[~own]).all()


def test_vectors_of_a_fold_are_standardized_by_those_of_others(cases):
    values, subjects, labels = cases
    folds = PROBE.folds(subjects, labels)
    own = np.flatnonzero(folds[0] == 2)
    moved = values.copy()
    moved[own[0]] = 1e6
    before, after = (PROBE.scores(v, subjects, labels, folds)[0] for v in (values, moved))
    np.testing.assert_array_equal(after[own[1:]], before[own[1:]])
    assert after[own[0]] != before[own[0]]


def by_descent(values, labels, strength):
    """The logistic loss and half the squared weights, minimized; weights on standardized values."""
    mean, deviation = values.mean(axis=0), values.std(axis=0)
    x, sign = (values - mean) / deviation, np.where(labels, 1.0, -1.0)

    def loss(w):
        return w[1:] @ w[1:] / 2 + strength * np.logaddexp(0, -sign * (w[0] + x @ w[1:])).sum()

    w = minimize(loss, np.zeros(1 + x.shape[1]), tol=1e-10).x
    return lambda given: w[0] + (given - mean) / deviation @ w[1:]


def test_a_model_is_the_regularized_logistic_regression_of_its_cases(cases):
    values, subjects, labels = cases
    model = fit(values, subjects, labels, seed=5)
    expected = by_descent(values, labels, model[-1].C)(values)
    np.testing.assert_allclose(model.decision_function(values), expected, atol=2e-3)


def test_the_penalty_is_the_best_over_inner_folds(cases):
    values, subjects, labels = cases
    inner = grouped_folds(subjects, labels, num_folds=INNER_FOLDS, seed=5)
    losses = []
    for strength in STRENGTHS:
        total = 0.0
        for number in range(INNER_FOLDS):
            own = inner == number
            scores = by_descent(values[~own], labels[~own], strength)(values[own])
            total += np.logaddexp(0, np.where(labels[own], -scores, scores)).sum()
        losses.append(total)
    chosen = fit(values, subjects, labels, seed=5)[-1].C
    assert chosen == STRENGTHS[int(np.argmin(losses))]


def test_noise_is_penalized_more_than_what_tells(cases, rng):
    _, subjects, labels = cases
    noise = rng.normal(size=(len(labels), 60))
    telling = labels[:, None] + 0.1 * rng.normal(size=(len(labels), 1))
    assert fit(noise, subjects, labels, seed=0)[-1].C < fit(telling, subjects, labels, seed=0)[-1].C


def test_noise_tells_nothing(cases, rng):
    _, subjects, labels = cases
    found = interval_of(rng.normal(size=(len(labels), 20)), subjects, labels)
    assert found.low < 0.5 < found.high


def test_the_label_itself_tells_all_and_so_does_its_contrary(cases):
    _, subjects, labels = cases
    for values in (labels, ~labels):
        found = interval_of(values[:, None].astype(float), subjects, labels)
        assert (found.mean, found.low, found.high) == (1, 1, 1)


def test_the_scale_of_vectors_changes_nothing(cases):
    values, subjects, labels = cases
    scaled = values * [3, 0.1, 7, 1, 5, 1] - 2
    np.testing.assert_allclose(
        scores_of(scaled, subjects, labels), scores_of(values, subjects, labels), atol=1e-6
    )


def test_too_few_subjects_of_a_class_are_refused():
    subjects, labels = np.repeat(np.arange(6), 2), np.arange(12) < 5
    with pytest.raises(DataError, match=r"at least 4 subjects each.*of 3 subjects and .* of 4$"):
        grouped_folds(subjects, labels, num_folds=4, seed=0)
    with pytest.raises(DataError, match="of 0 subjects and negative ones of 6"):
        grouped_folds(subjects, labels & False, num_folds=2, seed=0)


def test_a_subject_with_most_cases_of_a_class_is_refused_where_it_leaves_none():
    # Found by search: all positive cases fall into one inner fold.
    positive, negative = [2, 18, 2, 0, 0, 0, 0], [11, 2, 17, 29, 10, 6, 19]
    subjects = np.concatenate([np.repeat(np.arange(7), n) for n in (positive, negative)])
    labels = np.arange(len(subjects)) < sum(positive)
    values = np.ones((len(subjects), 1))
    with pytest.raises(DataError, match="to fit on have one label, since one subject has most"):
        fit(values, subjects, labels, seed=0)
