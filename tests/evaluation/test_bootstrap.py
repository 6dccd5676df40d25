"""Intervals against SciPy's bootstrap, and against resampling written out as loops."""

import numpy as np
import pytest
from scipy import stats

from medssl.evaluation.bootstrap import interval


def test_over_subjects_it_is_scipys_percentile_bootstrap():
    values = np.random.default_rng(1).beta(5, 2, size=30)
    ours = interval(values[None], num_resamples=40_000, seed=1)
    theirs = stats.bootstrap(
        (values,), np.mean, n_resamples=40_000, method="percentile", rng=np.random.default_rng(2)
    ).confidence_interval
    assert ours.mean == pytest.approx(values.mean())
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=2e-3)


def by_loops(table, num_resamples, rng):
    draws, subjects = table.shape
    means = []
    for _ in range(num_resamples):
        rows = rng.integers(draws, size=draws)
        columns = rng.integers(subjects, size=subjects)
        means.append(np.nanmean([[table[r, c] for c in columns] for r in rows]))
    return np.quantile(means, [0.05, 0.95])


def test_draws_and_subjects_are_both_resampled():
    rng = np.random.default_rng(3)
    table = rng.normal(size=(3, 1)) + rng.normal(size=(1, 12)) + rng.normal(size=(3, 12)) / 5
    table[1, 4] = np.nan
    ours = interval(table, confidence=0.9, num_resamples=20_000, seed=4)
    assert (ours.low, ours.high) == pytest.approx(by_loops(table, 4000, rng), abs=0.08)
    assert ours.mean == pytest.approx(np.nanmean(table))
    alone = interval(table[:1], confidence=0.9)
    assert ours.high - ours.low > alone.high - alone.low


def test_it_covers_the_truth_about_as_often_as_it_says():
    rng = np.random.default_rng(5)
    samples = rng.normal(loc=0.7, size=(400, 1, 40))
    found = [interval(sample, num_resamples=400, seed=n) for n, sample in enumerate(samples)]
    covered = np.mean([i.low <= 0.7 <= i.high for i in found])
    assert 0.91 <= covered <= 0.98


def test_a_seed_gives_the_same_interval_and_a_table_of_nothing_is_refused():
    values = np.random.default_rng(6).normal(size=(2, 9))
    assert interval(values, seed=7) == interval(values, seed=7) != interval(values, seed=8)
    with pytest.raises(ValueError, match=r"no number to average in a table of shape \(1, 2\)"):
        interval(np.full((1, 2), np.nan))
