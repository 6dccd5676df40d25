"""What stands for a dropped row in the end, where further selectors dropped what did at first.

A stand-in that a later step dropped in favor of another is followed to that other, until it is
one that is kept in the end. Where the way ends at one that was dropped on its own account, nothing
stands for the row any more: it is `orphaned`.

Where a step was about volumes, slices go the way of their volume. Where it was about slices, a
volume stays if one of its slices does; if none does, it goes the way of the first of them that
something stands for.
"""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Bool, Int

from medssl.selection import NOBODY

ORPHANED = "orphaned"
WHOLE = -1  # in place of a slice: the volume


def in_the_end(log: pa.Table) -> pa.Table:
    """Return the account of all steps, in which rows that are kept in the end stand for others."""
    step = log["step"].to_numpy()
    if (last := int(step.max())) == 0:
        return log
    ids = pc.unique(log["case_id"])
    rows = Rows(
        case=_numbers(pc.index_in(log["case_id"], value_set=ids)),
        place=_numbers(log["slice"]),
        kept=log["kept"].to_numpy(),
        to_case=_numbers(pc.index_in(log["stands_for_case"], value_set=ids)),
        to_place=_numbers(log["stands_for_slice"]),
    )
    moving = ~rows.kept & (rows.to_case != NOBODY)
    case, place = rows.to_case.copy(), rows.to_place.copy()
    for number in range(1, last + 1):
        later = rows.of(step == number)
        (own,) = np.nonzero(moving & (case != NOBODY) & (step < number))
        case[own], place[own] = later.followed(case[own], place[own])
    orphaned = pa.array(moving & (case == NOBODY))
    changed = {
        "stands_for_case": ids.take(pa.array(case, mask=case == NOBODY)),
        "stands_for_slice": pa.array(place, pa.int32(), mask=(case == NOBODY) | (place == WHOLE)),
        "similarity": pc.if_else(orphaned, pa.scalar(None, pa.float64()), log["similarity"]),
        "reason": pc.if_else(orphaned, ORPHANED, log["reason"]),
    }
    for name, column in changed.items():
        log = log.set_column(log.schema.get_field_index(name), name, column)
    return log


@dataclass(frozen=True)
class Rows:
    """What became of some rows.

    Args:
        case: The number of the case that each is of.
        place: Its slice, or `WHOLE`.
        kept: Whether it was kept.
        to_case: The case of what stands for it, or `NOBODY`.
        to_place: The slice of that.
    """

    case: Int[np.ndarray, "row"]
    place: Int[np.ndarray, "row"]
    kept: Bool[np.ndarray, "row"]
    to_case: Int[np.ndarray, "row"]
    to_place: Int[np.ndarray, "row"]

    def of(self, some: np.ndarray) -> "Rows":
        """Return some of them."""
        return Rows(**{name: values[some] for name, values in vars(self).items()})

    def followed(
        self, case: Int[np.ndarray, "one"], place: Int[np.ndarray, "one"]
    ) -> tuple[Int[np.ndarray, "one"], Int[np.ndarray, "one"]]:
        """Return where each of some others went: where it was if it was kept."""
        by_slice = bool((self.place != WHOLE).any())
        known = self.with_volumes() if by_slice else self
        sought = place if by_slice else np.full_like(place, WHOLE)
        width = 2 + int(max(known.place.max(), sought.max(initial=WHOLE)))
        keys = known.case * width + known.place + 1
        order = np.argsort(keys)
        row = order[np.searchsorted(keys[order], case * width + sought + 1)]
        kept = known.kept[row]
        return np.where(kept, case, known.to_case[row]), np.where(kept, place, known.to_place[row])

    def with_volumes(self) -> "Rows":
        """Return them with a row for each volume, which is what the best of its slices is."""
        worth = np.where(self.kept, 0, np.where(self.to_case != NOBODY, 1, 2))
        order = np.lexsort((self.place, worth, self.case))
        first = order[np.unique(self.case[order], return_index=True)[1]]
        both = np.append(np.arange(len(self.case)), first)
        place = np.append(self.place, np.full(len(first), WHOLE))
        return Rows(**{**vars(self.of(both)), "place": place})


def _numbers(column: pa.ChunkedArray) -> Int[np.ndarray, "row"]:
    """Return integers with -1 in place of null."""
    return pc.fill_null(column, -1).to_numpy().astype(np.int64)
