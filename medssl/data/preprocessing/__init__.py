"""How a volume as it was acquired becomes one that models are trained on.

In this order: voxels that are no number become the smallest that is; where it is asked for, the
bias field of a coil is divided out; the axes are brought to the closest of R, A, S by permuting
and flipping, which is exact; what lies around the foreground is cut off; the rest is resampled.
Each step is a pure function of a `Volume` and moves the affine with the voxels. But for the bias
field intensities stay as acquired: an `Intensity` says how a reader of the volume maps them to
what a network sees.
"""

import operator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float, Real, Shaped

from medssl.data.preprocessing.bias import BiasCorrection, correct_bias
from medssl.data.preprocessing.foreground import crop_to_foreground
from medssl.data.preprocessing.space import Spacing, nearest, resample, to_ras
from medssl.data.volume import Volume
from medssl.errors import DataError

# How many spans beyond the percentiles an outlier may lie: what the percentiles map to 0..1 is
# not clipped, a voxel of 1e6 among tissue of 1e2 is.
OUTLIER_SPANS = 10.0
# A range below this share of its own values is the rounding of float32, not contrast.
_LEAST_CONTRAST = 1e-6
_COUNTED = 1 << 20  # voxels at a time, which numpy makes 8 bytes each
_FLOAT32 = np.finfo(np.float32)


@dataclass(frozen=True, kw_only=True)
class Preprocessing:
    """The contract that images of a study are prepared by, at training and ever after.

    Args:
        spacing_mm: Voxel size to resample to, along R, A and S; null for an axis leaves it as it
            is, and null for all keeps each image's own grid and its number type.
        interpolation: Between voxels of an image when resampling. Labels take the nearest.
        window_hu: What 0 and 1 stand for in CT; values outside are clipped.
        percentiles: Of an image's voxels, what 0 and 1 stand for in every other modality;
            values outside are kept as far as ten times that range.
        crop_to_foreground: Cut off planes of air around the body, less a margin.
        bias_correction: How the bias field of images that are no CT is fitted, `{}` for the
            defaults; null leaves it in.
    """

    spacing_mm: Spacing | None = None
    interpolation: Literal["linear", "cubic"] = "linear"
    window_hu: tuple[float, float] = (-1000.0, 1000.0)
    percentiles: tuple[float, float] = (1.0, 99.0)
    crop_to_foreground: bool = True
    bias_correction: BiasCorrection | None = None

    def __post_init__(self) -> None:
        steps = [step for step in self.spacing_mm or (1.0,) if step is not None]
        if not steps or not all(0 < step < np.inf for step in steps):
            msg = (
                "spacing_mm must be null, or three of which each is a positive number or null "
                f"and one is a number, got {self.spacing_mm}"
            )
            raise ValueError(msg)
        low, high = self.window_hu
        if not -np.inf < low < high < np.inf:
            msg = f"window_hu must be a lower and a higher number, got {self.window_hu}"
            raise ValueError(msg)
        low, high = self.percentiles
        if not 0 <= low < high <= 100:
            msg = f"percentiles must be a lower and a higher one in [0, 100], got {(low, high)}"
            raise ValueError(msg)


@dataclass(frozen=True)
class Intensity:
    """A linear map of intensities: `(x - offset) * scale`, clipped to [low, high]."""

    offset: float
    scale: float
    low: float
    high: float

    def __call__(self, voxels: Real[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
        """Return the mapped voxels as float32."""
        # float32 holds 16-bit integers exactly; 32-bit ones need float64 until they are mapped.
        exact = np.result_type(voxels.dtype, np.float32)
        mapped = np.subtract(voxels, self.offset, dtype=exact)
        mapped *= self.scale
        return np.clip(mapped, self.low, self.high, out=mapped).astype(np.float32, copy=False)


def prepare(volume: Volume, contract: Preprocessing, modality: str | None = None) -> Volume:
    """Return the volume as the contract has it, its intensities as acquired.

    With neither a spacing nor a bias correction voxels are permuted and flipped but not changed,
    number type included (booleans become uint8). Otherwise they are float32, whatever they were.

    Raises:
        DataError: If it holds no voxels, none that is finite, or no real numbers; or if it is to
            be resampled and float32 has no room for its contrast.
    """
    prepared = finite(volume)
    if contract.bias_correction is not None and modality != "CT":
        prepared = correct_bias(prepared, contract.bias_correction)
    prepared = to_ras(prepared)
    if contract.crop_to_foreground:
        prepared = crop_to_foreground(prepared)
    if contract.spacing_mm is not None:
        prepared = resample(prepared, contract.spacing_mm, contract.interpolation)
    return prepared


def prepare_label(label: Volume, like: Volume) -> Volume:
    """Return the label on the grid of `like`: the nearest of its voxels, 0 outside of it.

    Raises:
        DataError: If the label holds anything but whole numbers from 0.
    """
    return nearest(Volume(_whole(label), label.affine), like.voxels.shape[1:], like.affine)


def intensity(volume: Volume, modality: str | None, contract: Preprocessing) -> Intensity:
    """Return how a prepared volume's voxels are mapped.

    Source: for other modalities than CT, Chaitanya et al., NeurIPS 2020: (x - p1)/(p99 - p1).
    Departs from it: clipped at ten times the range. Where the percentiles coincide, minimum
    and maximum take their place, and a constant volume is mapped to 0, as is one of decimals
    that differ by no more than the rounding of float32.
    """
    if modality == "CT":
        low, high = contract.window_hu
        return Intensity(low, 1 / (high - low), 0.0, 1.0)
    # Whole numbers are not rounded: what differs does.
    differ = operator.lt if volume.voxels.dtype.kind in "iu" else _differ
    offset, top = percentiles(volume.voxels, contract.percentiles)
    if not differ(offset, top):
        offset, top = float(volume.voxels.min()), float(volume.voxels.max())
    scale = 1 / (top - offset) if differ(offset, top) else 0.0
    return Intensity(offset, scale, -OUTLIER_SPANS, OUTLIER_SPANS)


def percentiles(
    voxels: Real[np.ndarray, "channel i j k"], of: tuple[float, float]
) -> tuple[float, float]:
    """Return two percentiles, as numpy interpolates them; short integers are counted, not sorted.

    Counting takes an eighth of the time of numpy's partition.
    """
    if voxels.dtype.kind not in "iu" or voxels.dtype.itemsize > 2 or voxels.size == 0:
        low, high = np.percentile(voxels, of)
        return float(low), float(high)
    lowest, counts = _counts(voxels)
    places = np.true_divide(of, 100) * (voxels.size - 1)
    below = np.floor(places)
    ranks = np.stack([below, np.minimum(below + 1, voxels.size - 1)])
    first, second = lowest + np.searchsorted(counts.cumsum(), ranks, side="right").astype(float)
    share = places - below
    # As numpy does, from the nearer end.
    found = np.where(
        share < 0.5, first + (second - first) * share, second - (second - first) * (1 - share)
    )
    return float(found[0]), float(found[1])


def _counts(voxels: Shaped[np.ndarray, "channel i j k"]) -> tuple[int, np.ndarray]:
    """Return the lowest number of a short type, and how often it and those above it occur."""
    limits = np.iinfo(voxels.dtype)
    size = limits.max - limits.min + 1
    # Some planes at a time as they lie in memory, whichever way round; negative numbers come last.
    forth = voxels[tuple(slice(None, None, -1 if step < 0 else 1) for step in voxels.strides)]
    slowest = int(np.argmax(forth.strides))
    unsigned = f"u{voxels.dtype.itemsize}"
    counts = np.zeros(size, np.int64)
    planes = np.moveaxis(forth, slowest, 0)
    several = max(1, _COUNTED // planes[0].size)
    for start in range(0, len(planes), several):
        some = planes[start : start + several]
        counts += np.bincount(some.ravel(order="K").view(unsigned), minlength=size)
    return int(limits.min), np.roll(counts, -int(limits.min))


def finite(volume: Volume) -> Volume:
    """Return the volume with the smallest finite voxel in place of those that are not.

    What float32 cannot hold counts as not finite.

    Raises:
        DataError: If it holds no voxels, none that is finite, or no real numbers.
    """
    voxels = _plain(volume.voxels)
    if voxels.dtype.kind != "f":
        return Volume(voxels, volume.affine)
    good = np.isfinite(voxels) & (np.abs(voxels) <= _FLOAT32.max)
    if good.all():
        return Volume(voxels, volume.affine)
    if not good.any():
        msg = f"expected finite voxels, found none among {voxels.size}"
        raise DataError(msg)
    return Volume(np.where(good, voxels, voxels[good].min()), volume.affine)


def _plain(voxels: np.ndarray) -> np.ndarray:
    """Return the voxels as numbers that every library reads, in this machine's byte order."""
    if voxels.size == 0:
        msg = f"expected voxels, got an empty volume of shape {voxels.shape}"
        raise DataError(msg)
    if voxels.dtype.kind not in "biuf":
        msg = f"expected real numbers, got voxels of type {voxels.dtype}"
        raise DataError(msg)
    if voxels.dtype.kind == "b":
        return voxels.astype(np.uint8)
    if voxels.dtype.kind == "f" and voxels.dtype.itemsize not in (4, 8):
        return voxels.astype(np.float32 if voxels.dtype.itemsize < 4 else np.float64)
    return voxels.astype(voxels.dtype.newbyteorder("="), copy=False)


def _whole(label: Volume) -> np.ndarray:
    """Return the label's voxels in the smallest integer type that torch has, too."""
    voxels = _plain(label.voxels)
    if voxels.dtype.kind == "f" and not np.array_equal(voxels, np.rint(voxels)):
        odd = voxels[voxels != np.rint(voxels)][0]
        msg = f"a label must hold whole numbers, got {odd}; round it, or leave it out of the index"
        raise DataError(msg)
    low, high = voxels.min(), voxels.max()
    if low < 0 or high > np.iinfo(np.int32).max:
        msg = f"a label must hold whole numbers from 0 (background), got {low} to {high}"
        raise DataError(msg)
    fits = next(t for t in (np.uint8, np.int16, np.int32) if high <= np.iinfo(t).max)
    return voxels.astype(fits, copy=False)


def _differ(low: float, high: float) -> bool:
    return high - low > max(_LEAST_CONTRAST * max(abs(low), abs(high)), float(_FLOAT32.tiny))
