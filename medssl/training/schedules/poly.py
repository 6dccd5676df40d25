"""Poly: the rate falls to zero as a power of what is left.

Source: Chen et al., "DeepLab", TPAMI 2018, arXiv:1606.00915, Sec. 4.1; nnU-Net's schedule.
Departs from the paper: nowhere.
"""

from dataclasses import dataclass

__all__ = ["Poly"]


@dataclass(frozen=True, kw_only=True)
class Poly:
    """Falls as `(1 - progress) ** power`.

    Args:
        power: 1 falls evenly; less falls late.
    """

    power: float = 0.9

    def __post_init__(self) -> None:
        if self.power <= 0:
            msg = f"power must be positive, got {self.power}"
            raise ValueError(msg)

    def __call__(self, progress: float) -> float:
        """Return the factor."""
        return float((1 - progress) ** self.power)
