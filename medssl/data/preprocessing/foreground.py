"""The foreground: the box of a volume that holds the body, and little of the air around it.

Losing anatomy costs more than keeping air, so each choice errs towards keeping. Brightness
above a third of the way from the background (1st percentile) to Otsu's threshold is
foreground, which keeps what lies far from a surface coil; a plane of voxels belongs to the
box if one in a thousand of its voxels is foreground, which a speck of noise is not; and the
box is taken 10 mm wider on each side.

Source: Otsu, "A threshold selection method from gray-level histograms", IEEE SMC 1979.
"""

import math

import numpy as np
from jaxtyping import Real

from medssl.data.volume import Volume
from medssl.geometry import spacing_mm

MARGIN_MM = 10.0
_TOWARDS_OTSU = 1 / 3
_LEAST_SHARE_OF_PLANE = 1e-3
_SAMPLED_PER_AXIS = 96
_BINS = 256


def crop_to_foreground(volume: Volume) -> Volume:
    """Return the part of the volume that holds its foreground; all of it if nothing stands out."""
    bright = volume.voxels.max(axis=0)
    step = tuple(slice(None, None, math.ceil(size / _SAMPLED_PER_AXIS)) for size in bright.shape)
    mask = bright > threshold(bright[step])
    if not mask.any():
        return volume
    margin = np.ceil(MARGIN_MM / spacing_mm(volume.affine)).astype(int)
    box = tuple(_span(mask, axis, int(margin[axis])) for axis in range(3))

    shift = np.eye(4)
    shift[:3, 3] = [span.start for span in box]
    return Volume(volume.voxels[:, *box], volume.affine @ shift)


def threshold(voxels: Real[np.ndarray, "i j k"]) -> float:
    """Return the brightness above which a voxel counts as foreground."""
    low, high = (float(value) for value in np.percentile(voxels, [1, 99]))
    if low == high:
        return low
    # Outliers would take all bins but one for themselves.
    return low + _TOWARDS_OTSU * (otsu(np.clip(voxels, low, high)) - low)


def otsu(voxels: Real[np.ndarray, "i j k"]) -> float:
    """Return the brightness that divides the voxels into the two classes farthest apart."""
    counts, edges = np.histogram(voxels.astype(np.float64), bins=_BINS)
    centers = (edges[:-1] + edges[1:]) / 2
    below, weighted = np.cumsum(counts), np.cumsum(counts * centers)
    above = below[-1] - below
    with np.errstate(divide="ignore", invalid="ignore"):
        between = (weighted[-1] * below / below[-1] - weighted) ** 2 / (below * above)
    # Where the histogram is empty between the classes every threshold is as good: the middle.
    best = np.flatnonzero(between[:-1] >= np.nanmax(between[:-1]) * (1 - 1e-9))
    return float(centers[best].mean())


def _span(mask: np.ndarray, axis: int, margin: int) -> slice:
    """Return the planes across an axis from the first to the last that hold foreground."""
    share = mask.mean(axis=tuple(other for other in range(3) if other != axis))
    held = np.flatnonzero(share >= _LEAST_SHARE_OF_PLANE)
    if len(held) == 0:
        return slice(0, mask.shape[axis])
    return slice(max(0, int(held[0]) - margin), min(mask.shape[axis], int(held[-1]) + 1 + margin))
