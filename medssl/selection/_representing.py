"""Who stands for whom, given who is kept, and how well."""

import numpy as np
from jaxtyping import Float, Float32, Int, Shaped

from medssl.selection import Selection
from medssl.similarity import Similarity
from medssl.similarity.cosine import Cosine, directions

AT_ONCE = 1 << 24  # products,
PAIRS = 4096  # and pairs at a time: bounds memory


def by_angle(values: Shaped[np.ndarray, "case dim"], kept: Int[np.ndarray, "kept"]) -> Selection:
    """Return the selection of rows in which the most alike kept one stands for each."""
    kept = np.sort(kept)
    toward = directions(values)
    stands_for = kept[most_alike(toward, toward[kept])]
    stands_for[kept] = kept
    return Selection(kept, stands_for, similarities(Cosine(), values, stands_for))


def similarities(
    similarity: Similarity,
    values: Shaped[np.ndarray, "case dim"],
    stands_for: Int[np.ndarray, "case"],
) -> Float[np.ndarray, "case"]:
    """Return how alike each row is to the one that stands for it."""
    alike = np.ones(len(values))
    (dropped,) = np.nonzero(stands_for != np.arange(len(values)))
    for start in range(0, len(dropped), PAIRS):
        rows = dropped[start : start + PAIRS]
        alike[rows] = similarity.pairs(values[rows], values[stands_for[rows]])
    return alike


def most_alike(
    toward: Float32[np.ndarray, "row dim"], known: Float32[np.ndarray, "known dim"]
) -> Int[np.ndarray, "row"]:
    """Return for each direction the number of the known one at the smallest angle."""
    step = max(1, AT_ONCE // len(known))
    starts = range(0, len(toward), step)
    return np.concatenate(
        [(toward[start : start + step] @ known.T).argmax(axis=1) for start in starts]
    )
