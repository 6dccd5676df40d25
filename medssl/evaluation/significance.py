"""Whether differences are more than chance: sign flips of paired ones, Holm's step-down for many.

Source: Fisher, "The Design of Experiments", 1935, Sec. 21 (under the null hypothesis a paired
difference is as likely as its negative); Holm, "A simple sequentially rejective multiple test
procedure", Scandinavian Journal of Statistics 6, 1979.
Departs from the source: nowhere; where there are more sign patterns than resamples, those are
drawn, and p counts the observed one among them (Phipson, Smyth 2010), so it is never 0.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from scipy.stats import permutation_test


def sign_flip_p(
    differences: Float[np.ndarray, "draw subject"], *, num_resamples: int, seed: int
) -> float:
    """Return the two-sided p that the mean difference is 0, given these draws.

    Draws are averaged first, subject by subject, and subjects flip as a whole: draws share
    subjects, and are no further evidence about them. NaN is left out of each mean.

    Raises:
        ValueError: If there is no number at all.
    """
    known = differences[:, ~np.isnan(differences).all(axis=0)]
    if not known.size:
        msg = f"there is no difference to test in a table of shape {differences.shape}"
        raise ValueError(msg)
    by_subject = np.nanmean(known, axis=0)
    if len(by_subject) == 1:
        return 1.0  # the observed sign and its flip are all there are
    found = permutation_test(
        (by_subject,),
        lambda flipped, axis: np.mean(flipped, axis=axis),
        permutation_type="samples",
        vectorized=True,
        n_resamples=num_resamples,
        rng=np.random.default_rng(seed),
    )
    return float(found.pvalue)


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p values adjusted for their number, in their order.

    All below a level are found at that level with the chance of a single false one bounded by it.
    """
    order = np.argsort(p_values, kind="stable")
    factors = len(p_values) - np.arange(len(p_values))
    stepped = np.maximum.accumulate(np.asarray(p_values, np.float64)[order] * factors)
    adjusted = np.empty(len(p_values))
    adjusted[order] = stepped.clip(max=1.0)
    return [float(p) for p in adjusted]
