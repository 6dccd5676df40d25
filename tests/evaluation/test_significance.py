from itertools import product

import numpy as np
import pytest

from medssl.evaluation.significance import holm, sign_flip_p


def by_definition(differences):
    """Count the sign patterns whose mean is as far from 0 as the observed one, of all there are."""
    observed = abs(differences.mean())
    means = [
        abs((np.array(signs) * differences).mean())
        for signs in product((1, -1), repeat=len(differences))
    ]
    return float(np.mean([mean >= observed * (1 - 1e-12) for mean in means]))


@pytest.mark.parametrize("seed", range(5))
def test_p_is_the_share_of_sign_patterns_as_far_from_0(seed):
    differences = np.random.default_rng(seed).normal(0.4, 1, 9)
    found = sign_flip_p(differences[None], num_resamples=10_000, seed=0)
    assert found == pytest.approx(by_definition(differences), abs=1e-12)


def test_drawn_patterns_come_near_all_patterns_and_p_is_never_0():
    differences = np.random.default_rng(0).normal(0.5, 1, 14)
    drawn = sign_flip_p(differences[None], num_resamples=9_999, seed=0)
    assert drawn == pytest.approx(by_definition(differences), abs=0.01)
    assert sign_flip_p(np.ones((1, 40)), num_resamples=99, seed=0) == pytest.approx(2 / 100)


def test_draws_are_averaged_first_and_are_no_further_evidence():
    differences = np.random.default_rng(1).normal(0.3, 1, (1, 8))
    repeated = np.repeat(differences, 5, axis=0)
    apart = repeated + np.arange(-2, 3)[:, None]  # of the same mean
    one, many, spread = (
        sign_flip_p(table, num_resamples=9_999, seed=0) for table in (differences, repeated, apart)
    )
    assert one == many == pytest.approx(spread, abs=1e-9)


def test_subjects_without_a_number_are_left_out():
    differences = np.random.default_rng(2).normal(0.6, 1, (2, 8))
    holes = np.concatenate([differences, np.full((2, 3), np.nan)], axis=1)
    assert sign_flip_p(holes, num_resamples=999, seed=0) == sign_flip_p(
        differences, num_resamples=999, seed=0
    )
    with pytest.raises(ValueError, match=r"no difference to test in a table of shape \(2, 3\)"):
        sign_flip_p(holes[:, 8:], num_resamples=99, seed=0)


def test_one_subject_tells_nothing():
    assert sign_flip_p(np.array([[3.0], [4.0]]), num_resamples=99, seed=0) == 1.0


def test_under_the_null_p_is_even():
    rng = np.random.default_rng(3)
    found = [
        sign_flip_p(rng.normal(size=(1, 12)), num_resamples=10_000, seed=0) for _ in range(100)
    ]
    assert np.mean(np.array(found) <= 0.1) == pytest.approx(0.1, abs=0.09)


def test_holm_steps_down_as_in_a_worked_example():
    # 0.01 x 4, 0.02 x 3 = 0.06, 0.03 x 2 = 0.06, 0.04 x 1 would fall below and is held up
    assert holm([0.03, 0.01, 0.04, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])
    assert holm([0.005]) == [0.005]
    assert holm([0.6, 0.7]) == [1.0, 1.0]
    assert holm([]) == []


def test_what_holm_finds_bonferroni_need_not_but_never_the_other_way_round():
    p_values = np.random.default_rng(4).uniform(0, 0.1, 10).tolist()
    adjusted = holm(p_values)
    assert all(a <= min(1, 10 * p) + 1e-12 for a, p in zip(adjusted, p_values, strict=True))
    assert all(a >= p for a, p in zip(adjusted, p_values, strict=True))
