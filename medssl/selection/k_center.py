"""k-center greedy: keep cases so that no case is far from a kept one.

Source: Sener, Savarese, "Active Learning for Convolutional Neural Networks: A Core-Set
Approach", ICLR 2018, arXiv:1708.00489, Algorithm 1; greedy farthest-first traversal,
whose radius is at most twice the optimum (Gonzalez 1985).
Departs from the paper: starts from one case instead of a labeled pool.
"""

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
from jaxtyping import Float, Shaped

from medssl.selection import DescriptorTable, Selection, _budget
from medssl.similarity import Kind
from medssl.similarity._picked import Values

__all__ = ["KCenter"]

AT_ONCE = 1 << 21  # numbers whose differences are computed at a time: bounds memory


@dataclass(frozen=True, kw_only=True)
class KCenter:
    """Farthest-first traversal under the Euclidean distance; similarity is 1 / (1 + distance).

    Args:
        fraction: Share of the cases to keep, in (0, 1]; at least one is kept.
        budget: Cases to keep, instead of a share.
        seed: Chooses the first case.
    """

    takes: ClassVar[tuple[Kind, ...]] = ("vector",)
    is_by_group: ClassVar[bool] = False

    fraction: float = 0.1
    budget: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        _budget.check(self.fraction, self.budget)

    def keeping(self, budget: int) -> "KCenter":
        """Return it with another budget."""
        return replace(self, budget=budget)

    def __call__(self, table: DescriptorTable) -> Selection:
        """Return the kept rows and for each row the nearest of them."""
        values = table.values
        budget = _budget.rows_to_keep(self.fraction, self.budget, len(values))
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
        radius = {"radius": float(nearest.max())}
        return Selection(np.sort(np.array(kept)), stands_for, 1 / (1 + nearest), radius)


def distances_to(values: Shaped[Values, "case dim"], row: int) -> Float[np.ndarray, "case"]:
    """Return each case's distance to one of them."""
    one = values[row].astype(np.float64)
    step = max(1, AT_ONCE // len(one))
    starts = range(0, len(values), step)
    return np.concatenate(
        [np.linalg.norm(values[start : start + step] - one, axis=1) for start in starts]
    )
