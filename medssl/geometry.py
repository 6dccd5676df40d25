"""Voxel-to-world geometry: RAS+ millimeters, float64, one convention everywhere."""

from collections.abc import Sequence
from typing import Any

import nibabel.orientations
import numpy as np
from jaxtyping import Float64

Affine = Float64[np.ndarray, "4 4"]

_ornt: Any = nibabel.orientations  # which carries no annotations


def spacing_mm(affine: Affine) -> Float64[np.ndarray, "3"]:
    """Return the length of one voxel step along each array axis, in millimeters."""
    return np.linalg.norm(affine[:3, :3], axis=0)


def lps_to_ras(affine: Affine) -> Affine:
    """Turn a DICOM or ITK affine (LPS+) into ours (RAS+); its own inverse."""
    return np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine


def skewness(affine: Affine) -> float:
    """Return the largest cosine between two array axes: 0 where they stand at right angles."""
    axes = affine[:3, :3] / spacing_mm(affine)
    return float(np.abs(axes.T @ axes - np.eye(3)).max())


def canonical(shape: Sequence[int], affine: Affine) -> tuple[tuple[int, ...], Affine]:
    """Return shape and affine after array axes are permuted and flipped closest to RAS+."""
    turn = _ornt.io_orientation(affine)
    turned = affine @ _ornt.inv_ornt_aff(turn, tuple(shape))
    order = np.argsort(turn[:, 0])
    return tuple(int(shape[axis]) for axis in order), turned


def same_grid(
    shape: Sequence[int], affine: Affine, other_shape: Sequence[int], other_affine: Affine
) -> bool:
    """Say whether two grids are one once both are in RAS+ order.

    They are if the affines' entries agree within 1e-3 mm and no corner is off by more than a
    tenth of a voxel (a small error in a step adds up over hundreds of voxels).
    """
    one_shape, one = canonical(shape, affine)
    two_shape, two = canonical(other_shape, other_affine)
    if one_shape != two_shape or np.abs(one - two).max() > 1e-3:
        return False
    corners = np.array([[*corner, 1] for corner in np.ndindex(2, 2, 2)]).T
    corners[:3] *= np.array(one_shape)[:, None] - 1
    drift = np.linalg.norm(((one - two) @ corners)[:3], axis=0).max()
    return bool(drift <= 0.1 * spacing_mm(one).min())
