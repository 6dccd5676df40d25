"""Facility location: keep the rows that together represent all rows best.

The utility of a set is the sum, over all rows, of the cosine to the most alike kept one. Adding
greedily what raises it most reaches at least 1 - 1/e of the best there is, counted from where
everything is opposite.

Source: Nemhauser, Wolsey, Fisher, "An analysis of approximations for maximizing submodular set
functions", Mathematical Programming 14, 1978 (the bound); Minoux, "Accelerated greedy algorithms
for maximizing submodular set functions", 1978 (gains only shrink, so old ones are bounds);
Wei, Iyer, Bilmes, "Submodularity in Data Subset Selection and Active Learning", ICML 2015.
Departs from the papers: gains are computed for several rows at a time.
"""

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
from jaxtyping import Float, Float32, Int

from medssl.selection import DescriptorTable, Selection, _budget
from medssl.selection._representing import by_angle
from medssl.similarity import Kind
from medssl.similarity._greedy import in_stretches
from medssl.similarity.cosine import directions

__all__ = ["FacilityLocation"]

ROUNDING = 1e-5  # of a gain: cosines are of float32
TRIED = 32  # rows whose gains are computed at a time
AT_ONCE = 1 << 22  # cosines, or numbers of vectors, at a time: bounds memory


@dataclass(frozen=True, kw_only=True)
class FacilityLocation:
    """Lazy greedy. If the table has a target, its rows are what is to be represented.

    Args:
        fraction: Share of the rows to keep, in (0, 1]; at least one is kept.
        budget: Rows to keep, instead of a share.
    """

    takes: ClassVar[tuple[Kind, ...]] = ("vector",)
    is_by_group: ClassVar[bool] = False

    fraction: float = 0.1
    budget: int | None = None

    def __post_init__(self) -> None:
        _budget.check(self.fraction, self.budget)

    def keeping(self, budget: int) -> "FacilityLocation":
        """Return it with another budget."""
        return replace(self, budget=budget)

    def __call__(self, table: DescriptorTable) -> Selection:
        """Return the kept rows and for each row the most alike of them."""
        budget = _budget.rows_to_keep(self.fraction, self.budget, len(table))
        offered = directions(table.values)
        wanted = offered if table.target is None else directions(table.target)
        chosen, utility = greedy(offered, wanted, budget, table.order)
        selection = by_angle(table.values, chosen)
        return replace(
            selection,
            numbers={"utility": float(utility[-1])},
            curves={"utility": utility},
        )


def greedy(
    offered: Float32[np.ndarray, "row dim"],
    wanted: Float32[np.ndarray, "wanted dim"],
    budget: int,
    order: Int[np.ndarray, "row"],
) -> tuple[Int[np.ndarray, "budget"], Float[np.ndarray, "budget"]]:
    """Return the rows that are added, in turn, and the utility after each; ties go by order."""
    best = np.full(len(wanted), -1.0, np.float32)  # the cosine to the opposite
    gains = _first_gains(offered, wanted)
    current = np.zeros(len(offered), bool)
    chosen: list[int] = []
    utility: list[float] = []
    while len(chosen) < budget:
        row = _top(gains, order)
        while not current[row]:
            tried = np.argpartition(-gains, min(TRIED, len(gains)) - 1)[:TRIED]
            tried = np.union1d(tried[~current[tried] & np.isfinite(gains[tried])], row)
            gains[tried] = _gains(offered[tried], wanted, best)
            current[tried] = True
            row = _top(gains, order)
        chosen.append(row)
        np.maximum(best, wanted @ offered[row], out=best)
        utility.append(float(best.sum(dtype=np.float64)))
        gains[row] = -np.inf
        current[:] = False
    return np.array(chosen), np.array(utility)


def _first_gains(
    offered: Float32[np.ndarray, "row dim"], wanted: Float32[np.ndarray, "wanted dim"]
) -> Float[np.ndarray, "row"]:
    """Return what each gains against the opposite of everything: the sum of 1 + cosine."""
    # All of it is a product with the sum of what is wanted, in float64 a stretch at a time.
    total = wanted.sum(axis=0, dtype=np.float64)
    gains = np.empty(len(offered))
    for part in in_stretches(len(offered), max(1, AT_ONCE // len(total))):
        gains[part] = offered[part] @ total + len(wanted)
    return gains


def _top(gains: Float[np.ndarray, "row"], order: Int[np.ndarray, "row"]) -> int:
    # Two rows that are most alike gain the same of each other, but for rounding.
    (ties,) = np.nonzero(gains >= gains.max() - ROUNDING)
    return int(ties[order[ties].argmin()])


def _gains(
    tried: Float32[np.ndarray, "tried dim"],
    wanted: Float32[np.ndarray, "wanted dim"],
    best: Float32[np.ndarray, "wanted"],
) -> Float[np.ndarray, "tried"]:
    """Return by how much each would raise the utility."""
    step = max(1, AT_ONCE // len(tried))
    total = np.zeros(len(tried))
    for start in range(0, len(wanted), step):
        cosines = wanted[start : start + step] @ tried.T
        cosines -= best[start : start + step, None]
        total += np.maximum(cosines, 0, out=cosines).sum(axis=0, dtype=np.float64)
    return total
