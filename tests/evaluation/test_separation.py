"""Separation against scikit-learn, against copies of resampled cases, and against hand values."""

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score, r2_score

from medssl.errors import DataError
from medssl.evaluation.separation import (
    Pair,
    balanced_accuracy,
    chance,
    deviation,
    explained_variance,
    plane,
    probe,
    scores,
    thirds,
)


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def subjects_of(count):
    return np.arange(count) // 2


def test_under_weights_balanced_accuracy_is_scikit_learns_of_copies(rng):
    labels, predicted = rng.integers(4, size=(2, 60))
    weights = rng.integers(0, 4, size=(5, 60))
    weights[0] = 1
    weights[1, labels == 2] = 0  # a class that a resample has nobody of
    found = balanced_accuracy(labels, predicted, weights.astype(float))
    for row, value in zip(weights, found, strict=True):
        copies = np.repeat(np.arange(60), row)
        own = [
            (predicted[copies] == labels[copies])[labels[copies] == k].mean()
            for k in set(labels[copies].tolist())
        ]
        assert value == pytest.approx(np.mean(own))
    assert found[0] == pytest.approx(balanced_accuracy_score(labels, predicted))


def test_under_weights_explained_variance_is_scikit_learns_of_copies(rng):
    labels = rng.normal(40, 3, size=50)
    predicted = labels + rng.normal(size=50)
    weights = rng.integers(0, 4, size=(6, 50))
    found = explained_variance(labels, predicted, weights.astype(float))
    expected = [r2_score(np.repeat(labels, row), np.repeat(predicted, row)) for row in weights]
    np.testing.assert_allclose(found, expected, rtol=1e-9)
    alone = np.eye(50)[:1]  # one case has no variance to explain
    assert np.isnan(explained_variance(labels, predicted, alone)).all()


def test_a_probe_finds_what_is_there_on_others_than_it_was_fitted_on(rng):
    classes = rng.integers(3, size=240)
    size = rng.normal(size=240)
    codes = rng.normal(size=(240, 6))
    codes[:, 0] += 4 * (classes == 1)
    codes[:, 1] += 4 * (classes == 2)
    codes[:, 2] = 100 * (size + 0.1 * codes[:, 2])  # its scale must not matter
    fitted, scored = slice(0, 160), slice(160, None)
    for kind, labels in (("class", classes), ("number", size)):
        told = probe(
            kind,
            codes[fitted],
            labels[fitted],
            subjects_of(160),
            codes[scored],
            num_permutations=20,
            seed=0,
        )
        once = np.ones((1, 80))
        knows_nothing = chance(kind, labels[fitted])
        (score,) = scores(kind, labels[scored], told.predicted, once)
        assert score > 0.9
        shuffled = [scores(kind, labels[scored], row, once)[0] for row in told.shuffled]
        assert np.mean(shuffled) == pytest.approx(knows_nothing, abs=0.08)


def test_noise_tells_nothing(rng):
    labels = rng.integers(2, size=400)
    codes = rng.normal(size=(400, 8))
    told = probe(
        "class", codes[:200], labels[:200], subjects_of(200), codes[200:],
        num_permutations=0, seed=0,
    )  # fmt: skip
    (score,) = scores("class", labels[200:], told.predicted, np.ones((1, 200)))
    assert score == pytest.approx(0.5, abs=0.1)
    assert told.shuffled.shape == (0, 200)


def test_the_penalty_is_chosen_over_subjects_and_not_over_their_copies(rng):
    """Codes that name the subject fit its other cases, and say nothing of other subjects."""
    subjects = np.repeat(np.arange(30), 8)
    size = rng.normal(size=30)[subjects]
    named = np.eye(30)[subjects] + 0.01 * rng.normal(size=(240, 30))
    others = 0.01 * rng.normal(size=(40, 30))
    told = probe("number", named, size, subjects, others, num_permutations=0, seed=0)
    assert np.ptp(told.predicted) < 0.2 * np.ptp(size)  # the strongest penalty won


def test_a_probe_is_what_its_seed_says(rng):
    labels, codes = rng.integers(2, size=60), rng.normal(size=(60, 3))
    found = [
        probe(
            "class", codes, labels, subjects_of(60), codes, num_permutations=2, seed=seed
        ).shuffled
        for seed in (0, 0, 1)
    ]
    np.testing.assert_array_equal(found[0], found[1])
    assert (found[0] != found[2]).any()


@pytest.mark.parametrize(
    ("kind", "labels", "subjects", "said"),
    [
        ("class", [1, 1, 1, 1], [0, 1, 2, 3], "all 4 are"),
        ("class", [0, 0, 0, 1], [0, 1, 2, 3], "class 1 of at least 3 subjects"),
        ("number", [1.0, 2.0, 3.0, 4.0], [0, 0, 1, 1], "labels of at least 3 subjects"),
    ],
)
def test_what_no_probe_can_be_fitted_on_is_refused(kind, labels, subjects, said):
    codes = np.zeros((4, 2))
    with pytest.raises(DataError, match=said):
        probe(kind, codes, np.array(labels), np.array(subjects), codes, num_permutations=0, seed=0)


def test_the_deviation_of_a_perfect_separation_is_zero_and_adds_up_what_is_off():
    perfect = [
        Pair(belongs="salient", common=0.1, salient=1.0, chance=0.1),
        Pair(belongs="common", common=1.0, salient=1 / 3, chance=1 / 3),
    ]
    assert deviation(perfect) == pytest.approx(0)
    mixed = [
        Pair(belongs="salient", common=0.4, salient=0.9, chance=0.1),  # 0.3 and 0.1
        Pair(belongs="common", common=0.8, salient=0.2, chance=1 / 3),  # 0.2 and 0.1333
        Pair(belongs="common", common=0.5, salient=-0.2, chance=0.0),  # 0.5 and 0.2
    ]
    assert deviation(mixed) == pytest.approx(0.3 + 0.1 + 0.2 + 2 / 15 + 0.5 + 0.2)


def test_one_encoder_for_both_codes_is_off_wherever_it_tells_something():
    assert deviation([Pair(belongs="salient", common=0.9, salient=0.9, chance=0.5)]) == (
        pytest.approx(0.1 + 0.4)
    )


def test_thirds_are_those_of_the_fitted_cases():
    fitted = np.arange(9.0)
    assert np.bincount(thirds(fitted, fitted)).tolist() == [3, 3, 3]
    assert thirds(fitted, np.array([-5.0, 4.0, 50.0])).tolist() == [0, 1, 2]


def test_a_plane_shows_the_two_directions_that_vary_most(rng):
    spread = rng.normal(size=(200, 2))
    codes = np.concatenate([spread, spread + 0.1 * rng.normal(size=(200, 2))], axis=1)
    found = plane(codes, codes)
    assert abs(np.corrcoef(found.T)[0, 1]) < 1e-6
    assert found.var(axis=0).sum() > 0.95 * codes.shape[1]
    one = plane(codes[:, :1], codes[:, :1])
    assert one.shape == (200, 2)
    assert not one[:, 1].any()
    assert np.isfinite(plane(np.ones((5, 3)), np.ones((4, 3)))).all()
