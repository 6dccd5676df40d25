"""Confidence intervals by resampling subjects, and label draws where there are several.

Source: Efron, Tibshirani, "An Introduction to the Bootstrap", 1993, chapter 13 (percentile
interval); Owen, "The pigeonhole bootstrap", Annals of Applied Statistics 2007, arXiv:0712.1111
(both factors of a crossed table are resampled).
Departs from the source: nowhere.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

AT_ONCE = 2**22  # numbers drawn in one go: bounds memory whatever the size of the study


@dataclass(frozen=True)
class Interval:
    """A mean with the bounds of its confidence interval."""

    mean: float
    low: float
    high: float


def interval(
    values: Float[np.ndarray, "draw subject"],
    *,
    confidence: float = 0.95,
    num_resamples: int = 10_000,
    seed: int = 0,
) -> Interval:
    """Return the mean over draws and subjects with its percentile bootstrap interval.

    Rows and columns are drawn with replacement, independently. With one draw it is the usual
    bootstrap over subjects. NaN (a subject without this class) is left out of each mean.

    Raises:
        ValueError: If there is no number at all.
    """
    known = ~np.isnan(values)
    if not known.any():
        msg = f"there is no number to average in a table of shape {values.shape}"
        raise ValueError(msg)
    filled = np.where(known, values, 0.0)
    rng = np.random.default_rng(seed)
    draws, subjects = values.shape
    means: list[np.ndarray] = []
    step = max(1, AT_ONCE // (draws + subjects))
    for start in range(0, num_resamples, step):
        size = min(step, num_resamples - start)
        # How often each row and column was drawn says all: weights instead of copies.
        rows = rng.multinomial(draws, np.full(draws, 1 / draws), size=size).astype(np.float64)
        columns = rng.multinomial(subjects, np.full(subjects, 1 / subjects), size=size)
        sums = np.einsum("rd,ds,rs->r", rows, filled, columns, optimize=True)
        counts = np.einsum("rd,ds,rs->r", rows, known, columns, optimize=True)
        means.append(sums[counts > 0] / counts[counts > 0])
    tail = (1 - confidence) / 2
    low, high = np.quantile(np.concatenate(means), [tail, 1 - tail])
    return Interval(float(values[known].mean()), float(low), float(high))
