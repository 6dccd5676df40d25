"""Warm-up and cosine: the rate rises evenly, then falls along half a cosine.

Source: Loshchilov, Hutter, "SGDR: Stochastic Gradient Descent with Warm Restarts", ICLR 2017,
arXiv:1608.03983, Eq. 5, without restarts; Goyal et al., arXiv:1706.02677, Sec. 2.2 (warm-up).
Departs from the paper: nowhere.
"""

import math
from dataclasses import dataclass

__all__ = ["WarmupCosine"]


@dataclass(frozen=True, kw_only=True)
class WarmupCosine:
    """Rises from 0 to 1 while warming up, falls to `final` by the end.

    Args:
        warmup: Share of the run in which the rate rises; 0 for none.
        final: Factor at the end.
    """

    warmup: float = 0.1
    final: float = 0.0

    def __post_init__(self) -> None:
        if not (0 <= self.warmup < 1 and 0 <= self.final <= 1):
            msg = (
                "warmup must be in [0, 1) and final in [0, 1], "
                f"got warmup={self.warmup} and final={self.final}"
            )
            raise ValueError(msg)

    def __call__(self, progress: float) -> float:
        """Return the factor."""
        if progress < self.warmup:
            return progress / self.warmup
        fallen = (progress - self.warmup) / (1 - self.warmup)
        return self.final + (1 - self.final) * (1 + math.cos(math.pi * fallen)) / 2
