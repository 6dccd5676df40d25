"""Appearance: from tissues to the numbers a scanner stores."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Float64, UInt16
from scipy import ndimage

from medssl.data.phantom.anatomy import Tissues

LARGEST_STORED = 4095


@dataclass(frozen=True)
class Contrast:
    """Ranges of the tissues' signals, how strongly the T1's texture shows, and the timing."""

    name: str
    signals: tuple[tuple[float, float], ...]  # csf, gray, white, skull, scalp
    texture: float
    repetition_ms: int
    echo_ms: int


T1 = Contrast("t1", ((0.15, 0.3), (0.5, 0.65), (0.8, 0.95), (0.02, 0.1), (0.6, 0.95)), 1.0, 9, 4)
T2 = Contrast(
    "t2", ((0.85, 1.0), (0.55, 0.65), (0.35, 0.45), (0.02, 0.1), (0.3, 0.6)), -0.5, 4500, 95
)
FLAIR = Contrast(
    "flair", ((0.05, 0.15), (0.7, 0.8), (0.55, 0.65), (0.02, 0.1), (0.3, 0.6)), 0.5, 9000, 120
)


@dataclass(frozen=True)
class Scan:
    """Stored numbers and the slope that turns them into the scanner's signal."""

    stored: UInt16[np.ndarray, "i j k"]
    slope: float


def contrast_of(subject: int, acquisition: int) -> Contrast:
    """Return T1 for a subject's first scan, T2 or FLAIR in turn for every other."""
    return T1 if acquisition == 0 else (T2, FLAIR)[(subject // 4 + acquisition) % 2]


def acquire(
    tissues: Tissues, contrast: Contrast, rng: np.random.Generator, *, snr: tuple[float, float]
) -> Scan:
    """Image the tissues: their signals, a bias field, Rician noise, and 12 bits."""
    *mixture, texture = tissues
    levels = [rng.uniform(*limits) for limits in contrast.signals]
    signal = sum(level * part for level, part in zip(levels, mixture, strict=True))
    signal = np.maximum(signal + np.float32(contrast.texture) * texture, 0)
    signal = signal * _bias(rng, tissues.gray.shape)

    brain = tissues.gray + tissues.white > 0.5
    deviation = signal[brain].mean() / rng.uniform(*snr)
    noise = rng.normal(scale=deviation, size=(2, *signal.shape)).astype(np.float32)
    magnitude = np.hypot(signal + noise[0], noise[1])

    slope = float(rng.choice([1.0, 0.5, 2.5]))
    peak = rng.uniform(400, 1500) / np.percentile(magnitude, 99.5)
    return Scan(_stored(magnitude * (peak / slope)), slope)


def saved_again(scan: Scan, rng: np.random.Generator) -> Scan:
    """Return a near duplicate: up to 2 % more or less gain, and noise at a ratio of 20."""
    voxels = scan.stored.astype(np.float64)
    gain = 1 + rng.uniform(0.005, 0.02) * rng.choice([-1, 1])
    deviation = voxels[voxels > voxels.mean()].mean() / 20
    return Scan(_stored(voxels * gain + rng.normal(scale=deviation, size=voxels.shape)), scan.slope)


def _stored(
    voxels: Float32[np.ndarray, "i j k"] | Float64[np.ndarray, "i j k"],
) -> UInt16[np.ndarray, "i j k"]:
    return np.clip(np.rint(voxels), 0, LARGEST_STORED).astype(np.uint16)


def _bias(rng: np.random.Generator, shape: tuple[int, ...]) -> Float32[np.ndarray, "i j k"]:
    """Return a smooth factor around 1, the coils' uneven sensitivity: a coarse field, enlarged."""
    coarse = rng.normal(scale=0.15, size=(4, 4, 4))
    zoomed = ndimage.zoom(coarse, [n / 4 for n in shape], order=3, mode="nearest", grid_mode=True)
    return np.exp(zoomed).astype(np.float32)
