"""By how much each block of a decoder raises a map."""

from collections.abc import Sequence
from itertools import pairwise


def factors_of(owner: str, strides: Sequence[int]) -> list[int]:
    """Return how much finer each map is than the next, fine to coarse.

    Raises:
        ValueError: If there is one map alone, or a stride is no multiple of the one before.
    """
    factors = [coarse // fine for fine, coarse in pairwise(strides)]
    pairs = zip(factors, pairwise(strides), strict=True)
    if not factors or any(f < 2 or f * fine != coarse for f, (fine, coarse) in pairs):
        msg = f"{owner} needs 2 maps or more, each stride a multiple, got {tuple(strides)}"
        raise ValueError(msg)
    return factors
