"""Subjects and draws, drawn with replacement: how far a measure of cases can be trusted.

Subjects are drawn with all their cases, and draws (seeds of pretraining) independently of them.
A resample is how often each was drawn: weights instead of copies.

Source: Owen, "The pigeonhole bootstrap", Annals of Applied Statistics 2007, arXiv:0712.1111.
Departs from the source: nowhere.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from medssl.evaluation.bootstrap import Interval


@dataclass(frozen=True)
class Resamples:
    """How often each case and each draw was drawn."""

    cases: Float[np.ndarray, "resample case"]
    draws: Float[np.ndarray, "resample draw"]


def resample(
    subjects: Int[np.ndarray, "case"], *, num_draws: int, num_resamples: int, seed: int
) -> Resamples:
    """Draw subjects with all their cases, and draws, with replacement and independently."""
    rng = np.random.default_rng(seed)
    known, subject = np.unique(subjects, return_inverse=True)
    by_subject, by_draw = (
        rng.multinomial(size, np.full(size, 1 / size), size=num_resamples).astype(np.float64)
        for size in (len(known), num_draws)
    )
    return Resamples(by_subject[:, subject], by_draw)


@dataclass(frozen=True)
class Measured:
    """A measure of each draw, on all cases once and on each resample of them.

    Args:
        whole: Of all cases.
        resampled: Of each resample's.
    """

    whole: Float[np.ndarray, "draw"]
    resampled: Float[np.ndarray, "draw resample"]

    def minus(self, other: "Measured") -> "Measured":
        """Return the differences, draw by draw; what has one draw is compared with each."""
        return Measured(self.whole - other.whole, self.resampled - other.resampled)

    def interval(self, resamples: Resamples, *, confidence: float) -> Interval:
        """Return the mean over draws with its percentile interval over draws and subjects."""
        num_draws = resamples.draws.shape[1]
        means = (resamples.draws.T * self.resampled).sum(axis=0) / num_draws
        tail = (1 - confidence) / 2
        low, high = np.quantile(means[~np.isnan(means)], [tail, 1 - tail])
        return Interval(float(self.whole.mean()), float(low), float(high))
