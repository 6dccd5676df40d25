"""k-center greedy: keep cases so that no case is far from a kept one.

Source: Sener, Savarese, "Active Learning for Convolutional Neural Networks: A Core-Set
Approach", ICLR 2018, arXiv:1708.00489, Algorithm 1; greedy farthest-first traversal,
whose radius is at most twice the optimum (Gonzalez 1985).
Departs from the paper: starts from one case instead of a labeled pool.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from jaxtyping import Float

from medssl.selection import DescriptorTable, Selection

__all__ = ["KCenter"]


@dataclass(frozen=True, kw_only=True)
class KCenter:
    """Farthest-first traversal under the Euclidean distance; similarity is 1 / (1 + distance).

    Args:
        fraction: Share of the cases to keep, in (0, 1]; at least one is kept.
        seed: Chooses the first case.
    """

    takes: ClassVar[Literal["vector", "hash", "any"]] = "vector"

    fraction: float = 0.1
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.fraction <= 1:
            msg = f"fraction must be in (0, 1], got {self.fraction}"
            raise ValueError(msg)

    def __call__(self, table: DescriptorTable) -> Selection:
        """Return the kept rows and for each row the nearest of them."""
        values = table.values.astype(np.float64)
        budget = max(1, round(self.fraction * len(values)))
        kept = [int(np.random.default_rng(self.seed).integers(len(values)))]
        nearest = distances_to(values, kept[0])
        stands_for = np.full(len(values), kept[0])
        while len(kept) < budget:
            nearest_of_others = nearest.copy()
            nearest_of_others[kept] = -np.inf
            kept.append(int(nearest_of_others.argmax()))
            distance = distances_to(values, kept[-1])
            stands_for[distance < nearest] = kept[-1]
            nearest = np.minimum(nearest, distance)
        stands_for[kept] = kept
        return Selection(np.sort(np.array(kept)), stands_for, 1 / (1 + nearest))


def distances_to(values: Float[np.ndarray, "case dim"], row: int) -> Float[np.ndarray, "case"]:
    """Return each case's distance to one of them."""
    return np.linalg.norm(values - values[row], axis=1)
