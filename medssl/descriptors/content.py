"""Content: Shannon's entropy and the share of foreground, for filters.

Source: Shannon, "A Mathematical Theory of Communication", 1948; of the 256 greys that stand for
a fixed window of the normalized image.
Departs from the paper: nowhere.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Float32

from medssl.descriptors._statistics import COLUMNS, as_one, entropy_bits, foreground, greys
from medssl.similarity import Kind

__all__ = ["Content"]


@dataclass(frozen=True, kw_only=True)
class Content:
    """Two numbers a row; channels are pooled.

    Args:
        foreground_above: Normalized intensity above which a voxel counts as foreground.
    """

    kind: ClassVar[Kind] = "content"
    learned: ClassVar[bool] = False
    columns: ClassVar[tuple[str, ...]] = COLUMNS

    foreground_above: float = 0.1

    def volume(self, voxels: Float32[np.ndarray, "channel i j k"]) -> Float32[np.ndarray, "dim"]:
        """Return the numbers of a volume."""
        return self.slices(as_one(voxels))[0]

    def slices(
        self, voxels: Float32[np.ndarray, "channel i j k"]
    ) -> Float32[np.ndarray, "slice dim"]:
        """Return the numbers of each slice."""
        numbers = entropy_bits(greys(voxels)), foreground(voxels, self.foreground_above)
        return np.stack(numbers, axis=1).astype(np.float32)
