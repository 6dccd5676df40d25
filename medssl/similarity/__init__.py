"""How alike are two rows of descriptors, and which of many stand for the others?

A similarity is a frozen dataclass: its fields are its configuration, among them from when on
two rows count as near duplicates. It knows rows of numbers, no cases and no images.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, Int, Shaped

from medssl.similarity._picked import Values

Kind = Literal["vector", "hash", "image", "content"]
SIDE_PX = 128  # of the square images that rows of the kind `image` hold


@dataclass(frozen=True)
class Knob:
    """From where to where a limit can be set; the higher, the fewer rows are near duplicates.

    Args:
        low: Where most are.
        high: Where next to none are.
        is_whole: Whether only whole numbers make a difference.
    """

    low: float
    high: float
    is_whole: bool = False


@runtime_checkable
class Similarity(Protocol):
    """Compares rows of one kind.

    Attributes:
        takes: Of which kind.
    """

    takes: ClassVar[Kind]

    def knob(self, dim: int) -> Knob:
        """Return where the limit can be set for rows of so many numbers."""
        ...

    def at(self, level: float) -> "Similarity":
        """Return the same with its limit elsewhere on the knob."""
        ...

    def pairs(
        self, a: Shaped[np.ndarray, "row dim"], b: Shaped[np.ndarray, "row dim"]
    ) -> Float[np.ndarray, "row"]:
        """Return how alike they are row by row: 1 where they are equal, and below elsewhere."""
        ...

    def check(self, values: Shaped[Values, "row dim"]) -> None:
        """Refuse rows that cannot be compared; they are counted among all that are given."""
        ...

    def exemplars(self, values: Shaped[Values, "row dim"]) -> Int[np.ndarray, "row"]:
        """Return for each row the exemplar that stands for it, itself or one before.

        A row becomes an exemplar where no exemplar before it is a near duplicate of it. What
        stands for any other row is the most alike of the exemplars before it, of equals the first.
        """
        ...

    def last_kept(self, values: Shaped[Values, "row dim"]) -> Int[np.ndarray, "row"]:
        """Return for each row the last exemplar up to it.

        A row becomes an exemplar where it is no near duplicate of the last one.
        """
        ...
