"""Entropy filter: drop what shows next to nothing.

Source: none; Shannon's entropy of the greys, and the share of foreground, against limits.
"""

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
from jaxtyping import Float

from medssl.errors import DataError
from medssl.selection import NOBODY, DescriptorTable, Selection
from medssl.similarity import Kind, Knob

__all__ = ["EntropyFilter"]

MOST_BITS = 8.0  # of 256 greys


@dataclass(frozen=True, kw_only=True)
class EntropyFilter:
    """A row is dropped for what it is: nothing stands for it.

    Args:
        least_bits: Entropy below which a row is dropped.
        least_foreground: Share of foreground below which it is.
    """

    takes: ClassVar[tuple[Kind, ...]] = ("content",)
    is_by_group: ClassVar[bool] = False

    least_bits: float = 1.0
    least_foreground: float = 0.01

    def __post_init__(self) -> None:
        if not 0 <= self.least_bits <= MOST_BITS:
            msg = f"least_bits must be in [0, {MOST_BITS:g}], got {self.least_bits}"
            raise ValueError(msg)
        if not 0 <= self.least_foreground <= 1:
            msg = f"least_foreground must be in [0, 1], got {self.least_foreground}"
            raise ValueError(msg)

    def knob(self, table: DescriptorTable) -> Knob:
        """Return the knob: the entropy in bits, as a negative number; its low end keeps one row."""
        bits, foreground = _columns(table)
        most = bits[foreground >= self.least_foreground].max(initial=0)
        return Knob(-min(float(most), MOST_BITS), 0.0)

    def at(self, level: float) -> "EntropyFilter":
        """Return it with another entropy."""
        return replace(self, least_bits=-level)

    def __call__(self, table: DescriptorTable) -> Selection:
        """Return what shows enough.

        Raises:
            DataError: If nothing does.
        """
        bits, foreground = _columns(table)
        is_kept = (bits >= self.least_bits) & (foreground >= self.least_foreground)
        if not is_kept.any():
            msg = (
                f"none of {len(table)} rows has {self.least_bits:g} bits and a foreground of "
                f"{self.least_foreground:g}: the most are {bits.max():.3g} bits and "
                f"{foreground.max():.3g}; lower the limits"
            )
            raise DataError(msg)
        stands_for = np.where(is_kept, np.arange(len(table)), NOBODY)
        return Selection(np.flatnonzero(is_kept), stands_for, np.where(is_kept, 1.0, np.nan))


def _columns(table: DescriptorTable) -> tuple[Float[np.ndarray, "row"], Float[np.ndarray, "row"]]:
    """Return entropy and foreground."""
    values = np.asarray(table.values)
    return values[:, 0], values[:, 1]
