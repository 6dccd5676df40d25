"""Quotas: divide the budget among strata, such as sites or scanners, and select within each.

Source: none; proportional allocation as in stratified sampling (Cochran, "Sampling Techniques",
3rd ed., 1977, chapter 5).
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, Int

from medssl.errors import ConfigError, DataError
from medssl.selection import (
    NOBODY,
    Budgeted,
    DescriptorTable,
    Selection,
    Selector,
    Tunable,
    _budget,
)
from medssl.selection._allotting import allot
from medssl.selection.calibrated import Calibrated
from medssl.selection.uniform import Uniform
from medssl.similarity import Kind

__all__ = ["Quotas"]

AT_RANDOM = Uniform()


@dataclass(frozen=True, kw_only=True)
class Quotas:
    """Another selector, once for each stratum; rows stand for rows of their own stratum.

    What a stratum is too small for goes to the others, in proportion to their shares.

    Args:
        selector: Chooses within a stratum; one with a limit is calibrated to the quota.
        shares: Of the budget, by the stratum's name; 0 leaves it out. They need not add up to 1.
            Null for equal shares.
        fraction: Share of all rows to keep, in (0, 1].
        budget: Rows to keep, instead of a share.
    """

    selector: Selector = AT_RANDOM
    shares: Mapping[str, float] | None = None
    fraction: float = 0.1
    budget: int | None = None

    def __post_init__(self) -> None:
        _budget.check(self.fraction, self.budget)
        if not isinstance(self.selector, Tunable | Budgeted):
            msg = f"{type(self.selector).__name__} cannot be told how many rows to keep"
            raise ConfigError(msg)
        if self.shares is not None and (
            min(self.shares.values(), default=0) < 0 or sum(self.shares.values()) <= 0
        ):
            msg = f"shares must be at least 0, and one of them above, got {dict(self.shares)}"
            raise ValueError(msg)

    @property
    def takes(self) -> tuple[Kind, ...]:
        """What the selector takes."""
        return self.selector.takes

    @property
    def is_by_group(self) -> bool:
        """Never: the budget is one for all."""
        return False

    def keeping(self, budget: int) -> "Quotas":
        """Return it with another budget."""
        return replace(self, budget=budget)

    def __call__(self, table: DescriptorTable) -> Selection:
        """Return what is kept of all strata.

        Raises:
            DataError: If the table has no strata, or others than have shares.
        """
        if table.stratum is None:
            msg = "quotas needs strata: set `stratify_by` of `select` to a column of the manifest"
            raise DataError(msg)
        budget = _budget.rows_to_keep(self.fraction, self.budget, len(table))
        sizes = np.bincount(table.stratum, minlength=len(table.strata))
        quotas = allot(budget, sizes, self._shares(table.strata, sizes))
        stands_for = np.full(len(table), NOBODY)
        similarity = np.full(len(table), np.nan)
        for number in quotas.nonzero()[0].tolist():
            (rows,) = np.nonzero(table.stratum == number)
            chooser = Calibrated(selector=self.selector, budget=int(quotas[number]))
            found = chooser(table.take(rows))
            own = found.stands_for >= 0
            stands_for[rows[own]] = rows[found.stands_for[own]]
            similarity[rows] = found.similarity
        kept = np.flatnonzero(stands_for == np.arange(len(table)))
        return Selection(kept, stands_for, similarity)

    def _shares(
        self, names: tuple[str, ...], sizes: Int[np.ndarray, "stratum"]
    ) -> Float[np.ndarray, "stratum"]:
        if self.shares is None:
            return np.ones(len(names))
        present = {name for name, size in zip(names, sizes, strict=True) if size}
        if missing := sorted(present - self.shares.keys()):
            msg = (
                f"shares: none for {missing}; the strata are {sorted(present)}: give each a share, "
                "0 to leave it out"
            )
            raise DataError(msg)
        if unknown := sorted(self.shares.keys() - set(names)):
            msg = f"shares: there is no stratum {unknown}; the strata are {sorted(present)}"
            raise DataError(msg)
        return np.array([self.shares.get(name, 0.0) for name in names])
