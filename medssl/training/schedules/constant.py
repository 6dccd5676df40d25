"""Constant: the full learning rate all along.

Source: none.
"""

from dataclasses import dataclass

__all__ = ["Constant"]


@dataclass(frozen=True, kw_only=True)
class Constant:
    """Changes nothing."""

    def __call__(self, progress: float) -> float:
        """Return 1."""
        return 1.0
