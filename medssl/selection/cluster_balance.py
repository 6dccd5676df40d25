"""Cluster balance: keep equally many from each k-means cluster, so that what is rare counts.

Source: Vo et al., "Automatic Data Curation for Self-Supervised Learning: A Clustering-Based
Approach", TMLR 2024, arXiv:2405.15613, Sec. 3.2; one level of clusters, sampled at random.
Departs from the paper: one level, not a hierarchy; directions are clustered.
"""

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
from jaxtyping import Float32, Int
from sklearn.cluster import KMeans

from medssl.errors import DataError
from medssl.selection import DescriptorTable, Selection, _budget
from medssl.selection._allotting import allot
from medssl.selection._representing import by_angle
from medssl.similarity import Kind
from medssl.similarity._greedy import in_stretches
from medssl.similarity.cosine import Directions

__all__ = ["ClusterBalance"]

USUAL = 10  # clusters, where nobody says
AT_ONCE = 4096  # rows that are told apart at a time: bounds memory


@dataclass(frozen=True, kw_only=True)
class ClusterBalance:
    """Equal shares of the budget for all clusters; what one is too small for goes to the others.

    Args:
        clusters: How many; null for ten, or fewer if there are fewer rows.
        fraction: Share of the rows to keep, in (0, 1]; at least one is kept.
        budget: Rows to keep, instead of a share.
        seed: Begins the clusters and draws from them.
    """

    takes: ClassVar[tuple[Kind, ...]] = ("vector",)
    is_by_group: ClassVar[bool] = False

    clusters: int | None = None
    fraction: float = 0.1
    budget: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        _budget.check(self.fraction, self.budget)
        if self.clusters is not None and self.clusters < 1:
            msg = f"clusters must be at least 1, got {self.clusters}"
            raise ValueError(msg)

    def keeping(self, budget: int) -> "ClusterBalance":
        """Return it with another budget."""
        return replace(self, budget=budget)

    def __call__(self, table: DescriptorTable) -> Selection:
        """Return the drawn rows and for each row the most alike of them."""
        budget = _budget.rows_to_keep(self.fraction, self.budget, len(table))
        toward = Directions(table.values)
        # In the order of the table's `order`, so that how rows are stored changes nothing.
        rows = np.argsort(table.order, kind="stable")
        cluster = clusters_of(toward[rows], self._number(toward), self.seed)
        sizes = np.bincount(cluster)
        shuffled = np.random.default_rng(self.seed).permutation(len(rows))
        counts = allot(budget, sizes, np.ones(len(sizes)))
        drawn = [
            rows[shuffled[cluster[shuffled] == number][:count]]
            for number, count in enumerate(counts)
        ]
        return by_angle(table.values, np.concatenate(drawn))

    def _number(self, toward: Directions) -> int:
        # Equal rows cannot lie in two clusters.
        most = num_different(toward, self.clusters or USUAL)
        if self.clusters is not None and self.clusters > most:
            msg = f"clusters is {self.clusters}, but there are only {most} different rows; lower it"
            raise DataError(msg)
        return most


def clusters_of(
    toward: Float32[np.ndarray, "row dim"], number: int, seed: int
) -> Int[np.ndarray, "row"]:
    """Return the cluster of each direction; what is handed over is worked on in place."""
    means = KMeans(number, n_init=1, random_state=seed, copy_x=False).fit(toward)
    return means.labels_.astype(np.int64)


def num_different(toward: Directions, enough: int) -> int:
    """Return how many directions differ from each other, counted until there are enough."""
    seen: set[bytes] = set()
    for part in in_stretches(len(toward), AT_ONCE):
        for row in toward[part] + np.float32(0):  # -0 is 0
            seen.add(row.tobytes())
            if len(seen) == enough:
                return enough
    return len(seen)
