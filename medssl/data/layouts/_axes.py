"""Which axis of an array is which of the volume's, and which way they run in the patient."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Shaped

from medssl.geometry import Affine

FRAMES = "t"
UNKNOWN = "RAS"  # what stands in for an orientation that is unknown
# Towards which side of the patient an axis runs: which of R, A, S it is, and the sign.
SIDES = {"R": (0, 1), "L": (0, -1), "A": (1, 1), "P": (1, -1), "S": (2, 1), "I": (2, -1)}


def check_axes(axes: str) -> None:
    """Refuse what does not name each axis of a volume once.

    Raises:
        ValueError: If it does not.
    """
    if sorted(axes.replace(FRAMES, "", 1)) != list("ijk"):
        msg = (
            f"axes must name i, j and k once each in the order in which arrays hold them, and t "
            f"for frames if they have some, such as kji; got {axes!r}"
        )
        raise ValueError(msg)


def check_orientation(orientation: str | None) -> None:
    """Refuse what names no three sides of a patient.

    Raises:
        ValueError: If it does not.
    """
    letters = UNKNOWN if orientation is None else orientation
    if sorted(SIDES[letter][0] if letter in SIDES else -1 for letter in letters) != [0, 1, 2]:
        msg = (
            "orientation must say towards which side i, j and k run, such as LPS (left, "
            f"posterior, superior) or RAS, or be null where that is unknown; got {orientation!r}"
        )
        raise ValueError(msg)


def check_spacing(spacing_mm: Sequence[float]) -> None:
    """Refuse what is no spacing along i, j and k.

    Raises:
        ValueError: If it is none.
    """
    if len(spacing_mm) != 3 or not all(0 < step < np.inf for step in spacing_mm):
        msg = f"spacing_mm must be three positive numbers, got {spacing_mm}"
        raise ValueError(msg)


def affine_of(spacing_mm: Sequence[float], orientation: str | None) -> Affine:
    """Return the affine to RAS+ mm; the first voxel is at the origin, of which nothing is known."""
    affine = np.eye(4)
    affine[:3, :3] = 0
    for axis, letter in enumerate(orientation or UNKNOWN):
        row, sign = SIDES[letter]
        affine[row, axis] = sign * spacing_mm[axis]
    return affine


def orientation_said(orientation: str | None) -> dict[str, str]:
    """Return the attribute that says so where nothing is known of the orientation."""
    return {} if orientation else {"orientation": "unknown"}


def in_order(voxels: Shaped[np.ndarray, "..."], axes: str) -> Shaped[np.ndarray, "i j k"]:
    """Return an array whose axes are so named as (i, j, k)."""
    return voxels.transpose([axes.index(axis) for axis in "ijk"])
