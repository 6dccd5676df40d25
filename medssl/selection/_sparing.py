"""Rows that are kept whatever a selector says, and are counted among those that it is to keep.

Source: none.
"""

from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np
from jaxtyping import Bool, Int

from medssl.errors import DataError
from medssl.selection import (
    NOBODY,
    Budgeted,
    DescriptorTable,
    Selection,
    Tunable,
    _budget,
)
from medssl.selection.calibrated import Calibrated
from medssl.similarity import Kind, Knob


@dataclass(frozen=True)
class Sparing:
    """A selector that is told how many rows to keep, of which some are kept in any case.

    If its limit is calibrated it sees these, and they may stand for others. If not, it chooses
    among the others alone.

    Args:
        selector: Chooses the rest.
        spared: Which rows are kept in any case.
        beyond: How many more are, that the table does not hold.
        named: What they all are, for people.
    """

    selector: Budgeted
    spared: Bool[np.ndarray, "case"]
    beyond: int = 0
    named: str = "spared"

    @property
    def takes(self) -> tuple[Kind, ...]:
        """What the selector takes."""
        return self.selector.takes

    @property
    def is_by_group(self) -> bool:
        """Never: the number is one for all."""
        return False

    def __call__(self, table: DescriptorTable) -> Selection:
        """Return what is kept in any case, and what the selector adds to it.

        Raises:
            DataError: If as many as it is to keep are kept in any case.
        """
        total = len(table) + self.beyond
        wanted = _budget.rows_to_keep(self.selector.fraction, self.selector.budget, total)
        anyway = int(self.spared.sum()) + self.beyond
        if wanted <= anyway:
            msg = (
                f"{wanted} of {total} rows are to be kept, but {anyway} are in any case "
                f"({self.named}), which leaves none to choose; ask for more rows, give a smaller "
                "target, or set keep_labeled: false"
            )
            raise DataError(msg)
        chooser = cast(Any, self.selector)
        if isinstance(chooser, Calibrated) and isinstance(chooser.selector, Tunable):
            limited = Limited(chooser.selector, self.spared)
            return replace(chooser, selector=limited, budget=wanted - self.beyond)(table)
        (others,) = np.nonzero(~self.spared)
        found = replace(chooser, budget=wanted - anyway)(table.take(others))
        return _spread(found, others, self.spared)


@dataclass(frozen=True)
class Limited:
    """A selector with a limit that keeps some rows wherever that is.

    Args:
        selector: Decides on the others.
        spared: Which rows are kept in any case.
    """

    selector: Tunable
    spared: Bool[np.ndarray, "case"]

    @property
    def takes(self) -> tuple[Kind, ...]:
        """What the selector takes."""
        return self.selector.takes

    @property
    def is_by_group(self) -> bool:
        """Never: which rows are spared is said of the whole table."""
        return False

    def knob(self, table: DescriptorTable) -> Knob:
        """Return where the selector's limit can be set."""
        return self.selector.knob(table)

    def at(self, level: float) -> "Limited":
        """Return it with the selector's limit elsewhere."""
        return replace(self, selector=self.selector.at(level))

    def __call__(self, table: DescriptorTable) -> Selection:
        """Return what the selector keeps, and what is spared."""
        found = self.selector(table)
        return replace(
            found,
            kept=np.union1d(found.kept, np.flatnonzero(self.spared)),
            stands_for=np.where(self.spared, np.arange(len(table)), found.stands_for),
            similarity=np.where(self.spared, 1.0, found.similarity),
        )


def _spread(
    found: Selection, others: Int[np.ndarray, "other"], spared: Bool[np.ndarray, "case"]
) -> Selection:
    """Return a selection of some rows as one of all, in which the spared ones are kept."""
    stands_for, similarity = np.arange(len(spared)), np.ones(len(spared))
    nobody = found.stands_for == NOBODY
    stands_for[others] = np.where(nobody, NOBODY, others[found.stands_for])
    similarity[others] = found.similarity
    kept = np.union1d(others[found.kept], np.flatnonzero(spared))
    return replace(found, kept=kept, stands_for=stands_for, similarity=similarity)
