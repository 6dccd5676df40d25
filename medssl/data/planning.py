"""Plan: preprocessing, crop, batch and channels that suit a cohort, each with its reason.

Source: Isensee et al., "nnU-Net", Nature Methods 2021 (target spacing, anisotropy, fitting the
crop to memory).
Departs from it: a cohort of one spacing is not resampled; crops never exceed the median image;
levels halve every axis alike; memory is estimated by a formula, not by a trial.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float64

from medssl.data.fingerprint import LOOKED_AT_PERCENTILES, Fingerprint
from medssl.data.preprocessing import Preprocessing

_SAME_SPACING = 0.01
_ANISOTROPIC = 3.0
# A volume thinner than this along S is a stack of slices that a 3-D network cannot halve.
_FEWEST_SLICES = 12
_MOST_LEVELS, _FEWEST_LEVELS = 5, 3
_COARSEST_VOX = 4
_LARGEST_BATCH, _SMALLEST_BATCH = 32, 2
# Maps in float32 that a step holds for each channel at each level's size. Of this package's
# U-Net with its decoder autograd keeps 10 (measured on three widths and sizes); the rest is for
# gradients on their way.
_MAPS_A_CHANNEL = 12
_BYTES = 4


@dataclass(frozen=True, kw_only=True)
class Proposal:
    """What a cohort should be trained at.

    Args:
        preprocessing: Contract.
        spatial_dims: 3 for crops, 2 for slices.
        crop_vox: Of a crop; a multiple of what the encoder's deepest level needs.
        batch_size: Crops a step.
        channels: Of the encoder's levels, fine to coarse.
        reasons: Why, for each of these names.
    """

    preprocessing: Preprocessing
    spatial_dims: Literal[2, 3]
    crop_vox: tuple[int, ...]
    batch_size: int
    channels: tuple[int, ...]
    reasons: Mapping[str, str]


def propose(fingerprint: Fingerprint, *, memory_bytes: int, base_channels: int) -> Proposal:
    """Return what the fingerprint suggests, for a step that takes at most so much memory."""
    spacing, why_spacing = target_spacing(fingerprint.spacing_mm)
    window, why_window = window_hu(fingerprint)
    size = median_size(fingerprint, spacing)
    shown = " x ".join(str(round(n)) for n in size)
    spatial_dims: Literal[2, 3] = 2 if size[2] < _FEWEST_SLICES else 3
    axes = size[:spatial_dims]
    levels = num_levels(axes)
    channels = tuple(base_channels * 2**level for level in range(levels))
    crop = fit_crop(axes, channels, memory_bytes)
    room = memory_bytes // step_bytes(crop, channels)
    cases = len(fingerprint.shape)
    batch = max(1, min(max(room, _SMALLEST_BATCH), _LARGEST_BATCH, cases))
    return Proposal(
        preprocessing=Preprocessing(spacing_mm=spacing, window_hu=window),
        spatial_dims=spatial_dims,
        crop_vox=crop,
        batch_size=batch,
        channels=channels,
        reasons={
            "preprocessing": f"spacing_mm: {why_spacing}. window_hu: {why_window}."
            f"{levels_of_others(fingerprint)}",
            "spatial_dims": f"the median image has {shown} voxels along R, A, S at that spacing; "
            f"fewer than {_FEWEST_SLICES} along S are taken slice by slice",
            "crop_vox": f"what fits into the median image in multiples of {2 ** (levels - 1)}, the "
            f"stride of the deepest level, and of which {_SMALLEST_BATCH} fit into "
            f"{memory_bytes / 2**30:.3g} GiB",
            "batch_size": f"{room} crops of {step_bytes(crop, channels) / 2**20:.0f} MiB fit, "
            f"at most {_LARGEST_BATCH}, and not more than the {cases} cases",
            "channels": f"{levels} levels leave the coarsest map about {_COARSEST_VOX} voxels wide "
            "or more; each has twice the channels of the one above",
        },
    )


def target_spacing(
    spacing_mm: Float64[np.ndarray, "case 3"],
) -> tuple[tuple[float, float, float] | None, str]:
    """Return the spacing to resample to, or None for none, and why."""
    median = np.median(spacing_mm, axis=0)
    if (np.abs(spacing_mm / median - 1) <= _SAME_SPACING).all():
        shown = " x ".join(f"{step:.3g}" for step in median)
        return None, f"all cases have {shown} mm, so nothing is resampled"
    coarsest = int(median.argmax())
    others = np.delete(median, coarsest).max()
    if median[coarsest] > _ANISOTROPIC * median.min():
        tenth = float(np.percentile(spacing_mm[:, coarsest], 10))
        median[coarsest] = max(tenth, others)
        why = (
            f"the median, but the 10th percentile along {'RAS'[coarsest]}, which is more than "
            f"{_ANISOTROPIC:.0f} times as coarse as the finest axis"
        )
    else:
        why = f"the median of {len(spacing_mm)} cases"
    i, j, k = (float(np.format_float_positional(step, 4, fractional=False)) for step in median)
    return (i, j, k), why


def window_hu(fingerprint: Fingerprint) -> tuple[tuple[float, float], str]:
    """Return the CT window and why."""
    of_ct = [look.percentiles for look in fingerprint.looks if look.modality == "CT"]
    default = Preprocessing().window_hu
    if not of_ct:
        return default, "no CT was looked at; it concerns CT only, others take percentiles"
    low, high = np.median(of_ct, axis=0)[[0, -1]]
    low, high = np.floor(low / 50) * 50, np.ceil(high / 50) * 50
    why = f"0.5th and 99.5th percentile of the voxels of {len(of_ct)} CT, their medians"
    return (float(max(low, -1024.0)), float(min(high, 3071.0))), why


def levels_of_others(fingerprint: Fingerprint) -> str:
    """Return what 0 and 1 stand for in each modality that is no CT, in words."""
    first, last = (LOOKED_AT_PERCENTILES.index(level) for level in Preprocessing().percentiles)
    return "".join(
        f" percentiles: of each {modality}, in the median image {at[first]:.4g} and {at[last]:.4g}."
        for modality, at in fingerprint.levels.items()
        if modality != "CT"
    )


def median_size(
    fingerprint: Fingerprint, spacing_mm: tuple[float, float, float] | None
) -> Float64[np.ndarray, "3"]:
    """Return the median case's voxels along each axis, cropped and resampled."""
    ratio = 1.0 if spacing_mm is None else fingerprint.spacing_mm / np.array(spacing_mm)
    return np.median(fingerprint.shape * ratio, axis=0) * fingerprint.kept


def num_levels(size: Float64[np.ndarray, "dims"]) -> int:
    """Return how often the thinnest axis can be halved, and one more."""
    halvings = int(np.floor(np.log2(max(size.min() / _COARSEST_VOX, 1))))
    return min(max(halvings + 1, _FEWEST_LEVELS), _MOST_LEVELS)


def fit_crop(
    size: Float64[np.ndarray, "dims"], channels: tuple[int, ...], memory_bytes: int
) -> tuple[int, ...]:
    """Return the largest crop in multiples of the deepest stride that fits image and memory."""
    stride = 2 ** (len(channels) - 1)
    crop = [max(int(length // stride), 1) * stride for length in size]
    while _SMALLEST_BATCH * step_bytes(tuple(crop), channels) > memory_bytes:
        if max(crop) == stride:
            break
        crop[crop.index(max(crop))] -= stride
    return tuple(crop)


def step_bytes(crop_vox: tuple[int, ...], channels: tuple[int, ...]) -> int:
    """Return about what a step keeps of one crop."""
    shares = [width / 2 ** (len(crop_vox) * level) for level, width in enumerate(channels)]
    return int(np.prod(crop_vox) * sum(shares) * _MAPS_A_CHANNEL * _BYTES)
