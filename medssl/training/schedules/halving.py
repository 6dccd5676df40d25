"""Halving: the rate is halved so many times, after equal parts of the run.

Source: Nguyen et al., "LVM-Med", NeurIPS 2023, arXiv:2306.11925, who halve it four times.
Departs from the paper: which does not say when; here all parts are of one length.
"""

from dataclasses import dataclass

__all__ = ["Halving"]


@dataclass(frozen=True, kw_only=True)
class Halving:
    """Falls in steps.

    Args:
        times: How often.
    """

    times: int = 4

    def __post_init__(self) -> None:
        if self.times < 1:
            msg = f"times must be at least 1, got {self.times}"
            raise ValueError(msg)

    def __call__(self, progress: float) -> float:
        """Return the factor."""
        return float(0.5 ** int(progress * (self.times + 1)))
