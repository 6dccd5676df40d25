"""Grids: the same patient on other axes, at another spacing, on another image's voxels.

Positions are those of voxel centers: index (0, 0, 0) is the middle of the first voxel, and the
field of view reaches half a voxel beyond the outermost centers.
"""

import math

import nibabel
import numpy as np
from jaxtyping import Bool, Float32, Int64, Real, Shaped
from scipy import ndimage

from medssl.data.volume import Volume
from medssl.errors import DataError
from medssl.geometry import Affine, spacing_mm

# Along R, A and S; None for an axis that stays as it is.
Spacing = tuple[float | None, float | None, float | None]

_ORDER = {"linear": 1, "cubic": 3}
# Spacings that agree to this share are one spacing, written down at another precision.
_SAME_SPACING = 1e-4
# Added to a position that is rounded to a voxel, so that what lies in the middle of two goes
# to the same side wherever the affine's last digits put it.
_TIE = 1e-6
# Whole numbers whose range has fewer steps in float32 have no contrast left there.
_LEAST_STEPS = 16


def to_ras(volume: Volume) -> Volume:
    """Return the volume with its axes permuted and flipped to the closest of R, A and S."""
    axes, flipped = closest_axes(volume.affine)
    shape = np.array(volume.voxels.shape[1:])[axes]
    voxels = volume.voxels.transpose(0, *(axes + 1))
    voxels = np.flip(voxels, tuple(np.flatnonzero(flipped) + 1))

    old_from_new = np.zeros((4, 4))
    old_from_new[axes, range(3)] = np.where(flipped, -1, 1)
    old_from_new[axes, 3] = np.where(flipped, shape - 1, 0)
    old_from_new[3, 3] = 1
    return Volume(voxels, volume.affine @ old_from_new)


def closest_axes(affine: Affine) -> tuple[Int64[np.ndarray, "3"], Bool[np.ndarray, "3"]]:
    """Return which array axis is closest to R, A and S, and which of these run backwards."""
    orientation = nibabel.io_orientation(affine)  # type: ignore[no-untyped-call]
    axes = np.argsort(orientation[:, 0])
    return axes, orientation[axes, 1] < 0


def resample(volume: Volume, target_mm: Spacing, interpolation: str) -> Volume:
    """Return the volume at another spacing, as float32; as it is where the spacing agrees.

    The new grid has exactly that spacing and the old grid's middle, and as many voxels as
    cover its field of view best, so its border lies within half a new voxel of the old one.
    Beyond the outermost centers the outermost voxel goes on.

    Source: along axes that lose resolution the image is first smoothed by the Gaussian that
    turns the old voxel's point spread into the new one's, sigma^2 = (ratio^2 - 1) / (8 ln 2)
    in old voxels: Cardoso et al., "Scale factor point spread function matching", MICCAI 2015.
    Cubic is the interpolating B-spline, clipped to the image's own range, which it overshoots
    at edges.

    Raises:
        DataError: If float32 has no room for the contrast of whole numbers.
    """
    steps_mm = zip(target_mm, spacing_mm(volume.affine), strict=True)
    ratio = np.array([1.0 if new is None else new / old for new, old in steps_mm])
    ratio[np.abs(ratio - 1) < _SAME_SPACING] = 1
    if (ratio == 1).all():
        return volume
    _require_room(volume.voxels)
    old = np.array(volume.voxels.shape[1:])
    new = np.maximum(np.rint(old / ratio), 1).astype(int)
    start = (old - 1) / 2 - (new - 1) / 2 * ratio

    smooth = np.sqrt(np.maximum(ratio**2 - 1, 0) / (8 * math.log(2)))
    channels = [
        _sampled(channel, ratio, start, new, smooth, _ORDER[interpolation])
        for channel in volume.voxels.astype(np.float32)
    ]
    old_from_new = np.diag([*ratio, 1.0])
    old_from_new[:3, 3] = start
    return Volume(np.stack(channels), volume.affine @ old_from_new)


def _require_room(voxels: Real[np.ndarray, "channel i j k"]) -> None:
    """Refuse whole numbers that float32 would make alike, or nearly so."""
    if voxels.dtype.kind not in "iu" or voxels.dtype.itemsize < 4:
        return
    low, high = float(voxels.min()), float(voxels.max())
    steps = (high - low) / float(np.spacing(np.float32(max(abs(low), abs(high)))))
    if 0 < steps < _LEAST_STEPS:
        msg = (
            f"expected voxels to resample in float32, got {voxels.dtype} from {low:.12g} to "
            f"{high:.12g}, of which it has {steps:.2g} steps; leave spacing_mm out, which "
            "changes no voxel"
        )
        raise DataError(msg)


def nearest(volume: Volume, shape: tuple[int, ...], affine: Affine) -> Volume:
    """Return the volume's nearest voxels on another grid, 0 outside of its field of view."""
    old_from_new = np.linalg.inv(volume.affine) @ affine
    channels = [
        ndimage.affine_transform(
            channel, old_from_new[:3, :3], old_from_new[:3, 3] + _TIE, shape,
            order=0, mode="grid-constant", cval=0,
        )
        for channel in volume.voxels
    ]  # fmt: skip
    return Volume(np.stack(channels), affine)


def _sampled(
    voxels: Float32[np.ndarray, "i j k"],
    ratio: Shaped[np.ndarray, "3"],
    start: Shaped[np.ndarray, "3"],
    shape: Shaped[np.ndarray, "3"],
    smooth: Shaped[np.ndarray, "3"],
    order: int,
) -> Float32[np.ndarray, "i2 j2 k2"]:
    low, high = voxels.min(), voxels.max()
    for axis in np.flatnonzero(smooth):
        voxels = ndimage.gaussian_filter1d(voxels, smooth[axis], axis=axis, mode="nearest")
    sampled = ndimage.affine_transform(
        voxels, ratio, start, tuple(shape), order=order, mode="nearest"
    )
    return np.clip(sampled, low, high, out=sampled)
