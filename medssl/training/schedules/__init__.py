"""What share of its learning rate a run uses when: a function of the share that is done."""

from typing import Protocol, runtime_checkable


@runtime_checkable
class Schedule(Protocol):
    """Maps progress in [0, 1) to a factor of the learning rate in [0, 1]."""

    def __call__(self, progress: float) -> float:
        """Return the factor."""
        ...
