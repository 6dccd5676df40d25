"""Bias fields: the slow change of brightness that a coil adds to an MR image, divided out by N4.

Source: Tustison et al., "N4ITK: improved N3 bias correction", IEEE TMI 2010, in ITK's
implementation; threshold, levels and iterations are those of Chaitanya et al., NeurIPS 2020.
Departs from them: the field is fitted where the body is, on every so many voxels along each
axis (`thinned_by`), and divided out of all.
"""

from dataclasses import dataclass

import numpy as np
import SimpleITK
from jaxtyping import Bool, Float32, Real

from medssl.data.preprocessing.foreground import threshold
from medssl.data.volume import Volume

# An axis is not thinned to fewer voxels: the finest level has eight spans along each.
LEAST_VOX = 16


@dataclass(frozen=True, kw_only=True)
class BiasCorrection:
    """How a bias field is fitted.

    Args:
        threshold: A level ends once the field changes by less.
        iterations: The most of each level; the spans of the field halve from level to level.
        thinned_by: The field is fitted on every so many voxels along each axis, as far as an
            axis keeps sixteen. 1 fits it on all, which takes a minute for each million voxels
            and more.
    """

    threshold: float = 0.001
    iterations: tuple[int, ...] = (50, 50, 50, 50)
    thinned_by: int = 4

    def __post_init__(self) -> None:
        if not 0 < self.threshold < 1:
            msg = f"threshold must be in (0, 1), got {self.threshold}"
            raise ValueError(msg)
        if not self.iterations or min(self.iterations) < 1:
            msg = f"iterations must be a positive number for each level, got {self.iterations}"
            raise ValueError(msg)
        if self.thinned_by < 1:
            msg = f"thinned_by must be 1 or more, got {self.thinned_by}"
            raise ValueError(msg)


def correct_bias(volume: Volume, how: BiasCorrection) -> Volume:
    """Return the volume with its bias field divided out, as float32; as it is without foreground.

    The field's geometric mean over the foreground is 1, so that intensities keep their size. A
    volume has one thread: cases are prepared side by side, and what it comes to does not hang
    on how many cores there are.
    """
    channels = [_corrected(channel, how) for channel in volume.voxels]
    if all(channel is None for channel in channels):
        return volume
    plain = volume.voxels.astype(np.float32)
    kept = [plain[at] if channel is None else channel for at, channel in enumerate(channels)]
    return Volume(np.stack(kept), volume.affine)


def _corrected(
    voxels: Real[np.ndarray, "i j k"], how: BiasCorrection
) -> Float32[np.ndarray, "i j k"] | None:
    """Return a channel without its field; None where there is no foreground to fit one on."""
    # Of what is not positive there is no logarithm.
    body = voxels > max(threshold(voxels), 0.0)
    flat = tuple(size for size in voxels.shape if size > 1)  # a plane has a field in two axes
    if len(flat) < 2 or not body.any():
        return None
    bright = np.maximum(voxels, 0).astype(np.float32)
    log_field = _fitted(bright.reshape(flat), body.reshape(flat), how).reshape(voxels.shape)
    log_field -= log_field[body].mean()
    return (voxels / np.exp(log_field)).astype(np.float32, copy=False)


def _fitted(
    bright: Float32[np.ndarray, "*shape"], body: Bool[np.ndarray, "*shape"], how: BiasCorrection
) -> Float32[np.ndarray, "*shape"]:
    """Return the logarithm of the field on all voxels."""
    whole = SimpleITK.GetImageFromArray(bright)
    thin = [min(how.thinned_by, max(size // LEAST_VOX, 1)) for size in whole.GetSize()]
    mask = SimpleITK.GetImageFromArray(body.astype(np.uint8))
    n4 = SimpleITK.N4BiasFieldCorrectionImageFilter()
    n4.SetMaximumNumberOfIterations(how.iterations)
    n4.SetConvergenceThreshold(how.threshold)
    n4.SetNumberOfThreads(1)
    n4.Execute(SimpleITK.Shrink(whole, thin), SimpleITK.Shrink(mask, thin))
    return SimpleITK.GetArrayFromImage(n4.GetLogBiasFieldAsImage(whole))
