"""SSIM: structural similarity of small images.

Source: Wang, Bovik, Sheikh, Simoncelli, "Image quality assessment: from error visibility to
structural similarity", IEEE TIP 13(4), 2004, Eqs. 13 and 17, with its constants: a Gaussian
window of 11 x 11 pixels with a deviation of 1.5, K1 = 0.01, K2 = 0.03.
Departs from the paper: the range is that of the number type, 255, not each pair's own; windows
that reach beyond the image are left out, as in the authors' code.
"""

from dataclasses import dataclass, replace
from typing import ClassVar, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Float32, Int, Shaped

from medssl.compiled import compiled
from medssl.similarity import SIDE_PX, Kind, Knob
from medssl.similarity._greedy import (
    Prepared,
    exemplars,
    in_stretches,
    in_unit,
    last_kept,
    taken,
)
from medssl.similarity._images import images
from medssl.similarity._limit import SHARES, check_least
from medssl.similarity._picked import Values

__all__ = ["Ssim"]

WINDOW_PX = 11
INNER_PX = SIDE_PX - WINDOW_PX + 1
C1 = np.float32((0.01 * 255) ** 2)
C2 = np.float32((0.03 * 255) ** 2)
MIDDLE = 128.0  # greys are counted from here, so that squares stay small and rounding does
PAIRS = 256  # that are prepared at once: bounds memory
_steps = np.arange(WINDOW_PX) - WINDOW_PX // 2
_bell = np.exp(-0.5 * (_steps / 1.5) ** 2)
TAPS = (_bell / _bell.sum()).astype(np.float32)


class Windowed(NamedTuple):
    """Images, and the mean and the variance in each of their windows."""

    pixels: Float32[np.ndarray, "row image side side"]
    mean: Float32[np.ndarray, "row image inner inner"]
    variance: Float32[np.ndarray, "row image inner inner"]


@dataclass(frozen=True, kw_only=True)
class Ssim:
    """Rows of images, compared one by one and averaged; below 0 similarity is 0.

    A pair takes some 50 microseconds an image: meant for what lies within a volume or a subject.

    Args:
        least: From which mean SSIM on two images are near duplicates.
    """

    takes: ClassVar[Kind] = "image"

    least: float = 0.8

    def __post_init__(self) -> None:
        check_least(self.least)

    @property
    def floor(self) -> float:
        """The limit: an SSIM does not depend on what else is computed."""
        return self.least

    def knob(self, dim: int) -> Knob:
        """Return the knob."""
        return SHARES

    def at(self, level: float) -> "Ssim":
        """Return it with another limit."""
        return replace(self, least=level)

    def pairs(
        self, a: Shaped[np.ndarray, "row dim"], b: Shaped[np.ndarray, "row dim"]
    ) -> Float[np.ndarray, "row"]:
        """Return the SSIM row by row, at least 0."""
        alike = np.empty(len(a))
        for part in in_stretches(len(a), PAIRS):
            one, other = self.prepare(a[part]), self.prepare(b[part])
            for row in range(len(one[0])):
                alone = slice(row, row + 1)
                alike[part.start + row] = self.between(taken(one, alone), taken(other, alone))[0, 0]
        return in_unit(alike, a, b)

    def check(self, values: Shaped[Values, "row dim"]) -> None:
        """Refuse rows that are no images."""
        images(values[:1])

    def exemplars(self, values: Shaped[Values, "row dim"]) -> Int[np.ndarray, "row"]:
        """Return for each row the exemplar that stands for it."""
        return exemplars(self, values)

    def last_kept(self, values: Shaped[Values, "row dim"]) -> Int[np.ndarray, "row"]:
        """Return for each row the last exemplar up to it."""
        return last_kept(self, values)

    def prepare(self, values: Shaped[np.ndarray, "row dim"]) -> Prepared:
        """Return images, and the mean and the variance in each of their windows."""
        pixels = images(values).astype(np.float32) - np.float32(MIDDLE)
        mean = np.empty((*pixels.shape[:2], INNER_PX, INNER_PX), np.float32)
        variance = np.empty_like(mean)
        _moments(pixels, TAPS, mean, variance)
        return Windowed(pixels, mean, variance)

    def between(self, a: Prepared, b: Prepared) -> Float32[np.ndarray, "a b"]:
        """Return the mean SSIM of each with each."""
        alike = np.empty((len(a[0]), len(b[0])), np.float32)
        _compare(Windowed(*a), Windowed(*b), TAPS, alike)
        return alike

    def is_near(
        self, alike: Float[np.ndarray, "row"], a: Prepared, b: Prepared
    ) -> Bool[np.ndarray, "row"]:
        """Return which are near duplicates."""
        return alike >= self.least


@compiled
def _windows(
    a: np.ndarray, b: np.ndarray, taps: np.ndarray, across: np.ndarray, result: np.ndarray
) -> None:
    """Put the weighted mean of the product in each window into `result`."""
    for y in range(SIDE_PX):
        across[y] = 0
        for k in range(WINDOW_PX):
            for x in range(INNER_PX):
                across[y, x] += taps[k] * a[y, x + k] * b[y, x + k]
    for y in range(INNER_PX):
        result[y] = 0
        for k in range(WINDOW_PX):
            for x in range(INNER_PX):
                result[y, x] += taps[k] * across[y + k, x]


@compiled
def _moments(pixels: np.ndarray, taps: np.ndarray, mean: np.ndarray, variance: np.ndarray) -> None:
    across = np.empty((SIDE_PX, INNER_PX), np.float32)
    ones = np.ones((SIDE_PX, SIDE_PX), np.float32)
    for row in range(len(pixels)):
        for image in range(pixels.shape[1]):
            one = pixels[row, image]
            _windows(one, ones, taps, across, mean[row, image])
            _windows(one, one, taps, across, variance[row, image])
            variance[row, image] -= mean[row, image] * mean[row, image]


@compiled
def _compare(a: Windowed, b: Windowed, taps: np.ndarray, alike: np.ndarray) -> None:
    across = np.empty((SIDE_PX, INNER_PX), np.float32)
    products = np.empty((INNER_PX, INNER_PX), np.float32)
    for i in range(len(a.pixels)):
        for j in range(len(b.pixels)):
            total = 0.0
            for image in range(a.pixels.shape[1]):
                _windows(a.pixels[i, image], b.pixels[j, image], taps, across, products)
                total += _mean_ssim(
                    products,
                    a.mean[i, image],
                    a.variance[i, image],
                    b.mean[j, image],
                    b.variance[j, image],
                )
            alike[i, j] = total / a.pixels.shape[1]


@compiled
def _mean_ssim(
    products: np.ndarray,
    mean_a: np.ndarray,
    variance_a: np.ndarray,
    mean_b: np.ndarray,
    variance_b: np.ndarray,
) -> float:
    total = 0.0
    middle = np.float32(MIDDLE)
    for y in range(INNER_PX):
        line = np.float32(0)
        for x in range(INNER_PX):
            covariance = products[y, x] - mean_a[y, x] * mean_b[y, x]
            a, b = mean_a[y, x] + middle, mean_b[y, x] + middle
            above = (2 * a * b + C1) * (2 * covariance + C2)
            below = (a * a + b * b + C1) * (variance_a[y, x] + variance_b[y, x] + C2)
            line += above / below
        total += float(line)
    return total / (INNER_PX * INNER_PX)
