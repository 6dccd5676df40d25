"""Pairs of two groups that hardly differ in what must not tell the groups apart.

Source: matching on a covariate within a caliper, as in Cochran, Rubin, "Controlling bias in
observational studies: a review", Sankhya A 35, 1973.
"""

import numpy as np
from jaxtyping import Float, Int


def matched(
    one: Float[np.ndarray, "one"], other: Float[np.ndarray, "other"], *, within: float
) -> tuple[Int[np.ndarray, "pair"], Int[np.ndarray, "pair"]]:
    """Return as many pairs as there can be, each member in one, that differ by at most `within`.

    Both groups are gone through from the smallest value on; whoever is too small for the other's
    next is left out, for nobody later will be nearer.

    Returns:
        The rows of the first group, from the smallest value on, and those of their partners.
    """
    order = np.argsort(one, kind="stable"), np.argsort(other, kind="stable")
    pairs: list[tuple[int, int]] = []
    i = j = 0
    while i < len(one) and j < len(other):
        a, b = order[0][i], order[1][j]
        if abs(one[a] - other[b]) <= within:
            pairs.append((int(a), int(b)))
            i, j = i + 1, j + 1
        elif one[a] < other[b]:
            i += 1
        else:
            j += 1
    rows = np.array(pairs, dtype=np.int64).reshape(-1, 2)
    return rows[:, 0], rows[:, 1]
