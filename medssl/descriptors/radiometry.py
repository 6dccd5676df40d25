"""Radiometry: how bright, how varied and how sharp an image is, whatever it shows.

Groups images by how they were made (windows, kernels, noise) rather than by anatomy, for
selectors that want a bit of everything.

Source: none; first-order statistics of intensities, as in van Griethuysen et al., "Computational
Radiomics System to Decode the Radiographic Phenotype", Cancer Research 77(21), 2017, and the mean
absolute difference of neighbors within a slice.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Float, Float32

from medssl.descriptors._statistics import COLUMNS, as_one, entropy_bits, foreground, greys
from medssl.similarity import Kind

__all__ = ["Radiometry"]

PERCENTILES = (1, 25, 50, 75, 99)


@dataclass(frozen=True, kw_only=True)
class Radiometry:
    """Ten numbers a row, of normalized intensities; channels are pooled.

    Args:
        foreground_above: Normalized intensity above which a voxel counts as foreground.
    """

    kind: ClassVar[Kind] = "vector"
    learned: ClassVar[bool] = False
    columns: ClassVar[tuple[str, ...]] = (
        "mean",
        "deviation",
        *(f"percentile_{percent}" for percent in PERCENTILES),
        "sharpness",
        *COLUMNS,
    )

    foreground_above: float = 0.1

    def volume(self, voxels: Float32[np.ndarray, "channel i j k"]) -> Float32[np.ndarray, "dim"]:
        """Return the numbers of a volume, its sharpness that of its slices."""
        sharp = np.array([sharpness(voxels).mean()])
        return self._numbers(as_one(voxels), sharp)[0]

    def slices(
        self, voxels: Float32[np.ndarray, "channel i j k"]
    ) -> Float32[np.ndarray, "slice dim"]:
        """Return the numbers of each slice."""
        return self._numbers(voxels, sharpness(voxels))

    def _numbers(
        self, voxels: Float32[np.ndarray, "channel i j k"], sharp: Float[np.ndarray, "k"]
    ) -> Float32[np.ndarray, "k dim"]:
        within = (0, 1, 2)
        columns = [
            voxels.mean(axis=within, dtype=np.float64),
            voxels.std(axis=within, dtype=np.float64),
            *np.percentile(voxels, PERCENTILES, axis=within),
            sharp,
            entropy_bits(greys(voxels)),
            foreground(voxels, self.foreground_above),
        ]
        return np.stack(columns, axis=1).astype(np.float32)


def sharpness(voxels: Float32[np.ndarray, "channel i j k"]) -> Float[np.ndarray, "k"]:
    """Return the mean absolute difference of neighbors within each slice; 0 of a single voxel."""
    steps = [np.abs(np.diff(voxels, axis=axis)) for axis in (1, 2)]
    count = sum(step[..., 0].size for step in steps)
    total = sum(step.sum(axis=(0, 1, 2), dtype=np.float64) for step in steps)
    return np.asarray(total) / max(1, count)
