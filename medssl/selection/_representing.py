"""Who stands for whom, given who is kept, and how well."""

import numpy as np
from jaxtyping import Float, Int, Shaped

from medssl.selection import Selection
from medssl.similarity import Similarity
from medssl.similarity._greedy import in_stretches
from medssl.similarity._picked import Values
from medssl.similarity.cosine import Cosine, Directions

AT_ONCE = 1 << 22  # products, or numbers of vectors,
TILE_ROWS = 4096  # kept rows,
PAIRS = 4096  # and pairs at a time: bounds memory


def by_angle(values: Shaped[Values, "case dim"], kept: Int[np.ndarray, "kept"]) -> Selection:
    """Return the selection of rows in which the most alike kept one stands for each."""
    kept = np.sort(kept)
    stands_for = kept[most_alike(Directions(values), kept)]
    stands_for[kept] = kept
    return Selection(kept, stands_for, similarities(Cosine(), values, stands_for))


def similarities(
    similarity: Similarity,
    values: Shaped[Values, "case dim"],
    stands_for: Int[np.ndarray, "case"],
) -> Float[np.ndarray, "case"]:
    """Return how alike each row is to the one that stands for it."""
    alike = np.ones(len(values))
    (dropped,) = np.nonzero(stands_for != np.arange(len(values)))
    for start in range(0, len(dropped), PAIRS):
        rows = dropped[start : start + PAIRS]
        alike[rows] = similarity.pairs(values[rows], values[stands_for[rows]])
    return alike


def most_alike(toward: Directions, kept: Int[np.ndarray, "kept"]) -> Int[np.ndarray, "row"]:
    """Return for each direction the number of the kept one at the smallest angle, the first such.

    Products are of float32, and their last bit may depend on how many are computed at a time:
    which of two stands for a row may, too, where their angles to it differ by no more than that.
    """
    number = np.zeros(len(toward), np.int64)
    best = np.full(len(toward), -np.inf, np.float32)
    for tile in in_stretches(len(kept), TILE_ROWS):
        known = toward[kept[tile]]
        for part in in_stretches(len(toward), max(1, AT_ONCE // max(known.shape))):
            alike = toward[part] @ known.T
            place = alike.argmax(axis=1)
            found = alike[np.arange(len(place)), place]
            number[part] = np.where(found > best[part], tile.start + place, number[part])
            best[part] = np.maximum(best[part], found)
    return number
