"""How alike two rows are, for selectors that do not choose by it."""

import numpy as np
from jaxtyping import Float, Int, Shaped

from medssl.similarity._picked import Values
from medssl.similarity.hamming import Hamming

AT_ONCE = 1 << 21  # numbers that are compared at a time: bounds memory


def likeness(
    values: Shaped[Values, "case dim"], stands_for: Int[np.ndarray, "case"]
) -> Float[np.ndarray, "case"]:
    """Return the share of equal bits of hashes, 1 / (1 + distance) of other rows."""
    alike = np.empty(len(values))
    step = max(1, AT_ONCE // values.shape[1])
    for start in range(0, len(values), step):
        part = slice(start, start + step)
        alike[part] = _likeness(values[part], values[stands_for[part]])
    return alike


def _likeness(
    a: Shaped[np.ndarray, "case dim"], b: Shaped[np.ndarray, "case dim"]
) -> Float[np.ndarray, "case"]:
    if a.dtype == np.uint64:
        return Hamming().pairs(a, b)
    return 1 / (1 + np.linalg.norm(a.astype(np.float64) - b, axis=1))
