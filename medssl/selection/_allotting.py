"""How many rows each of several heaps may keep."""

import numpy as np
from jaxtyping import Float, Int


def allot(
    budget: int, sizes: Int[np.ndarray, "heap"], shares: Float[np.ndarray, "heap"]
) -> Int[np.ndarray, "heap"]:
    """Return numbers in proportion to the shares, none above the heap's size.

    What a heap is too small for goes to the others. The numbers add up to the budget unless
    heaps with a share hold less; what does not divide goes to the largest remainders, of equals
    to the first.
    """
    given = np.zeros(len(sizes))
    is_open = shares > 0
    left = float(min(budget, sizes[is_open].sum()))
    while left > 0 and is_open.any():
        offer = np.where(is_open, left * shares / shares[is_open].sum(), 0.0)
        is_full = is_open & (given + offer >= sizes)
        if not is_full.any():
            given += offer
            break
        left -= float((sizes - given)[is_full].sum())
        given[is_full] = sizes[is_full]
        is_open &= ~is_full
    return _rounded(given, int(min(budget, sizes[shares > 0].sum())), sizes)


def _rounded(
    given: Float[np.ndarray, "heap"], total: int, sizes: Int[np.ndarray, "heap"]
) -> Int[np.ndarray, "heap"]:
    # A share that is whole but for rounding is whole.
    whole = np.floor(given + 1e-9).astype(np.int64)
    remainder = np.where(whole < sizes, given - whole, -1.0)
    first = np.argsort(-remainder, kind="stable")[: total - int(whole.sum())]
    whole[first] += 1
    return whole
