"""How alike two rows are, for selectors that do not choose by it."""

import numpy as np
from jaxtyping import Float, Shaped


def likeness(
    a: Shaped[np.ndarray, "case dim"], b: Shaped[np.ndarray, "case dim"]
) -> Float[np.ndarray, "case"]:
    """Return the share of equal bits of hashes, 1 / (1 + distance) of vectors, row by row."""
    if a.dtype == np.uint64:
        return 1 - np.bitwise_count(a ^ b).sum(axis=1, dtype=np.int64) / (64 * a.shape[1])
    return 1 / (1 + np.linalg.norm(a.astype(np.float64) - b, axis=1))
