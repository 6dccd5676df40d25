"""Where a series' voxels are: its plane, directions, obliqueness, spacing and field of view.

Array axes are (column, row, slice): column and row as DICOM counts them, slices along the
normal, the cross product of the row's and the column's direction. So the frame is right-handed
in LPS, and its 24 axis orientations are all that a DICOM series can have.
"""

import itertools
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int
from scipy.spatial.transform import Rotation

from medssl.geometry import Affine, lps_to_ras, spacing_mm

FIELD_OF_VIEW_MM = np.array([192.0, 228.0, 150.0])
OBLIQUE_DEG = (5.0, 20.0)


@dataclass(frozen=True)
class Grid:
    """Columns, rows and slices, with their affine to RAS+ mm."""

    shape: tuple[int, int, int]
    affine: Affine
    is_oblique: bool

    @property
    def orientation(self) -> Float64[np.ndarray, "6"]:
        """DICOM's ImageOrientationPatient: direction along a row, then along a column (LPS)."""
        lps = lps_to_ras(self.affine)[:3, :2]
        return (lps / np.linalg.norm(lps, axis=0)).T.reshape(6)

    @property
    def spacing_mm(self) -> Float64[np.ndarray, "3"]:
        """Steps from column to column, row to row, and slice to slice."""
        return spacing_mm(self.affine)

    def position(self, k: int) -> Float64[np.ndarray, "3"]:
        """Return DICOM's ImagePositionPatient of a slice: its first voxel's center (LPS)."""
        return (lps_to_ras(self.affine) @ [0, 0, k, 1])[:3]


def orientations() -> list[Int[np.ndarray, "3 3"]]:
    """Return the 24 right-handed frames; columns are the row's, column's and slice's direction."""
    axes = [sign * np.eye(3, dtype=int)[axis] for axis in range(3) for sign in (1, -1)]
    return [
        np.stack([along_row, along_column, np.cross(along_row, along_column)], axis=1)
        for along_row, along_column in itertools.permutations(axes, 2)
        if not along_row @ along_column
    ]


def draw_grid(
    rng: np.random.Generator, number: int, *, steps_mm: tuple[float, float], seed: int
) -> Grid:
    """Place the series of this number; 24 numbers in a row have all 24 orientations."""
    order = np.random.default_rng([seed, 2]).permutation(24)
    directions = orientations()[order[number % 24]].astype(np.float64)
    steps = rng.uniform(*steps_mm, size=3)
    extent_mm = np.abs(directions.T) @ FIELD_OF_VIEW_MM
    shape = np.rint(extent_mm / steps).astype(int)

    is_oblique = bool(rng.random() < 0.5)
    angles = rng.uniform(*OBLIQUE_DEG, size=3) * rng.choice([-1, 1], size=3)
    turn = Rotation.from_euler("xyz", angles, degrees=True).as_matrix()
    center = rng.uniform(-8, 8, size=3)
    lps = np.eye(4)
    lps[:3, :3] = (turn if is_oblique else np.eye(3)) @ directions * steps
    lps[:3, 3] = center - lps[:3, :3] @ ((shape - 1) / 2)
    columns, rows, slices = shape.tolist()
    return Grid((columns, rows, slices), lps_to_ras(lps), is_oblique)
