"""SimCore: of a large open set keep what is most like a small target cohort.

The target's vectors are summed up by k-means centroids; in each turn every centroid takes its
most alike row that is not yet taken. It stops by itself once what is left is clearly less alike.

Source: Kim, Bae, Yun, "Coreset Sampling from Open-Set for Fine-Grained Self-Supervised
Learning", CVPR 2023, arXiv:2303.11101, Sec. 3.
Code: sungnyun/openssl-simcore@97b4c9e.
Departs from the code: as many centroids as there are target rows are the rows themselves, more
are an error; a group (a subject) gives no more than `most_of_group`, because neighboring slices
would fill the budget; centroids that have taken all there is sit out; draws are seeded.
"""

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
from jaxtyping import Float, Float32, Int
from sklearn.cluster import KMeans

from medssl.errors import DataError
from medssl.selection import DescriptorTable, Selection, _budget
from medssl.selection._representing import by_angle
from medssl.similarity import Kind
from medssl.similarity._greedy import in_stretches
from medssl.similarity.cosine import Directions, directions

__all__ = ["SimCore"]

QUEUE_ROWS = 64  # a quarter of a centroid's first queue
AT_ONCE = 4096  # rows whose cosines are computed at a time: bounds memory


@dataclass(frozen=True, kw_only=True)
class SimCore:
    """Coreset for a target cohort; the table's `target` holds its vectors.

    Args:
        centroids: That stand for the target; null for 100, or fewer if it has fewer rows.
        stop_ratio: It stops when a turn's mean similarity falls below this share of that of turn
            `patience`; null never stops.
        patience: The turn that is the measure.
        fraction: Most that is kept, as a share of the rows, in (0, 1].
        budget: Most rows that are kept, instead of a share.
        most_of_group: Most rows that a group gives; null for any number.
        seed: Begins the centroids, and chooses among the picks of the last turn if they are more
            than the budget has room for.
    """

    takes: ClassVar[tuple[Kind, ...]] = ("vector",)
    is_by_group: ClassVar[bool] = False

    centroids: int | None = None
    stop_ratio: float | None = 0.95
    patience: int = 20
    fraction: float = 0.1
    budget: int | None = None
    most_of_group: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        _budget.check(self.fraction, self.budget)
        for name in ("centroids", "patience", "most_of_group"):
            value = getattr(self, name)
            if value is not None and value < 1:
                msg = f"{name} must be at least 1, got {value}"
                raise ValueError(msg)
        if self.stop_ratio is not None and not 0 < self.stop_ratio <= 1:
            msg = f"stop_ratio must be in (0, 1] or null, got {self.stop_ratio}"
            raise ValueError(msg)

    def keeping(self, budget: int) -> "SimCore":
        """Return it with that budget, which it fills: the rule to stop is off."""
        return replace(self, budget=budget, stop_ratio=None)

    def __call__(self, table: DescriptorTable) -> Selection:
        """Return the coreset, and for each row the most alike of it.

        Raises:
            DataError: If the table has no target, or one of fewer rows than centroids.
        """
        if table.target is None:
            msg = (
                "simcore needs the vectors of a target cohort: set `target` of `select`, and its "
                "descriptors to what describes it as the rows of this step are"
            )
            raise DataError(msg)
        budget = _budget.rows_to_keep(self.fraction, self.budget, len(table))
        centers = self._centers(directions(table.target))
        cosines = _cosines(Directions(table.values), centers)
        turns = Turns(cosines, table.order, table.group, self.most_of_group)
        taken, utility = self._take(turns, budget)
        return replace(
            by_angle(table.values, taken),
            numbers={
                "turns": float(len(utility)),
                "utility": float(cosines[:, taken].max(axis=1).sum()),
            },
            curves={"utility": utility},
        )

    def _centers(self, toward: Float32[np.ndarray, "row dim"]) -> Float32[np.ndarray, "center dim"]:
        number = min(100, len(toward)) if self.centroids is None else self.centroids
        if number > len(toward):
            msg = (
                f"centroids is {number}, but the target cohort has only {len(toward)} rows; "
                "lower it or leave it out"
            )
            raise DataError(msg)
        if number == len(toward):
            return toward
        means = KMeans(number, n_init=1, random_state=self.seed).fit(toward)
        return directions(means.cluster_centers_)

    def _take(
        self, turns: "Turns", budget: int
    ) -> tuple[Int[np.ndarray, "taken"], Float[np.ndarray, "turn"]]:
        """Return what is taken until it stops, and the utility of each turn."""
        taken: list[int] = []
        utility: list[float] = []
        while len(taken) < budget:
            picks, alike = turns.next()
            if not len(picks):
                break
            if self._is_over(alike, utility):
                break
            utility.append(alike)
            if len(taken) + len(picks) > budget:
                rng = np.random.default_rng(self.seed)
                picks = rng.choice(picks, size=budget - len(taken), replace=False)
            taken += picks.tolist()
        return np.array(taken, np.int64), np.array(utility)

    def _is_over(self, alike: float, utility: list[float]) -> bool:
        if self.stop_ratio is None or len(utility) < self.patience:
            return False
        return alike < self.stop_ratio * utility[self.patience - 1]


class Turns:
    """The picks of all centroids, turn by turn.

    Args:
        cosines: Of each row with each centroid.
        order: Which of equally alike rows comes first.
        group: Whose rows they are.
        most_of_group: Most rows that a group gives.
    """

    def __init__(
        self,
        cosines: Float32[np.ndarray, "center row"],
        order: Int[np.ndarray, "row"],
        group: Int[np.ndarray, "row"],
        most_of_group: int | None,
    ) -> None:
        self.cosines, self.order = cosines, order
        self.queues = [np.empty(0, np.int64)] * len(cosines)
        self.place = [0] * len(cosines)
        self.is_taken = np.zeros(cosines.shape[1], bool)
        self.group = np.unique(group, return_inverse=True)[1]
        self.room = np.full(len(group), len(group) if most_of_group is None else most_of_group)

    def next(self) -> tuple[Int[np.ndarray, "pick"], float]:
        """Return what the centroids take, each once, in order, and how alike it is on average."""
        picks = np.array([self._best(center) for center in range(len(self.queues))])
        (able,) = np.nonzero(picks >= 0)
        if not len(able):
            return picks[able], float("nan")
        alike = self.cosines[able, picks[able]]
        # The most alike first, in case that a group has no room for all.
        unique = list(dict.fromkeys(picks[able[np.argsort(-alike, kind="stable")]].tolist()))
        taken = [row for row in unique if self._take(row)]
        taken.sort(key=self.order.__getitem__)
        return np.array(taken, np.int64), float(alike.mean(dtype=np.float64))

    def _best(self, center: int) -> int:
        """Return a centroid's most alike row that can be taken, or -1."""
        while True:
            queue = self.queues[center]
            while self.place[center] < len(queue):
                row = int(queue[self.place[center]])
                if not self.is_taken[row] and self.room[self.group[row]] > 0:
                    return row
                self.place[center] += 1
            if len(queue) == len(self.order):
                return -1
            self.queues[center] = self._longer(center)

    def _longer(self, center: int) -> Int[np.ndarray, "row"]:
        """Return a centroid's queue, the most alike first, longer than before."""
        cosines = self.cosines[center]
        length = min(len(cosines), 4 * max(QUEUE_ROWS, len(self.queues[center])))
        last = np.partition(cosines, len(cosines) - length)[len(cosines) - length]
        (rows,) = np.nonzero(cosines >= last)  # with all that are as alike as the last one
        return rows[np.lexsort((self.order[rows], -cosines[rows]))]

    def _take(self, row: int) -> bool:
        if self.room[self.group[row]] == 0:
            return False
        self.room[self.group[row]] -= 1
        self.is_taken[row] = True
        return True


def _cosines(
    toward: Directions, centers: Float32[np.ndarray, "center dim"]
) -> Float32[np.ndarray, "center row"]:
    cosines = np.empty((len(centers), len(toward)), np.float32)
    for part in in_stretches(len(toward), AT_ONCE):
        cosines[:, part] = centers @ toward[part].T
    return cosines
