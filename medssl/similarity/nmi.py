"""NMI: how much of what two small images say, they say in common.

Source: Studholme, Hill, Hawkes, "An overlap invariant entropy measure of 3D medical image
alignment", Pattern Recognition 32(1), 1999 (normalized mutual information); the arm MI of Wolf
et al., CIBM 183, 2024, arXiv:2410.14524, whose exact choices are not published.
Departs from the paper: the form 2 I(a, b) / (H(a) + H(b)) in [0, 1], which of Studholme's ratio
Y in [1, 2] is 2 - 2 / Y; greys are counted in bins of a fixed range.
"""

from dataclasses import dataclass, replace
from typing import ClassVar, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Float32, Int, Shaped, UInt8

from medssl.compiled import compiled
from medssl.similarity import SIDE_PX, Kind, Knob
from medssl.similarity._greedy import Prepared, exemplars, in_stretches, in_unit, last_kept
from medssl.similarity._images import images
from medssl.similarity._limit import SHARES, check_least
from medssl.similarity._picked import Values

__all__ = ["Nmi"]

PIXELS = SIDE_PX**2
PAIRS = 4096
# n log2 n of every count that a bin can have
_counts = np.arange(PIXELS + 1)
COUNT_BITS = _counts * np.log2(np.maximum(_counts, 1))


class Binned(NamedTuple):
    """The bin of each pixel of images, and their entropies in bits."""

    bins: UInt8[np.ndarray, "row image pixel"]
    entropy: Float[np.ndarray, "row image"]


@dataclass(frozen=True, kw_only=True)
class Nmi:
    """Rows of images, compared one by one and averaged.

    Two images of one grey each say nothing: 0, unless they are equal.

    Args:
        least: From which NMI on two images are near duplicates.
        bins: Greys that are told apart, evenly over the range.
    """

    takes: ClassVar[Kind] = "image"

    least: float = 0.5
    bins: int = 64

    def __post_init__(self) -> None:
        check_least(self.least)
        if not 2 <= self.bins <= 256:
            msg = f"bins must be in 2..256, got {self.bins}"
            raise ValueError(msg)

    @property
    def floor(self) -> float:
        """The limit: an NMI does not depend on what else is computed."""
        return self.least

    def knob(self, dim: int) -> Knob:
        """Return the knob."""
        return SHARES

    def at(self, level: float) -> "Nmi":
        """Return it with another limit."""
        return replace(self, least=level)

    def pairs(
        self, a: Shaped[np.ndarray, "row dim"], b: Shaped[np.ndarray, "row dim"]
    ) -> Float[np.ndarray, "row"]:
        """Return the NMI row by row."""
        alike = np.empty(len(a))
        for part in in_stretches(len(a), PAIRS):
            one, other = self.prepare(a[part]), self.prepare(b[part])
            _compare_rows(Binned(*one), Binned(*other), COUNT_BITS, self.bins, alike[part])
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
        """Return the bin of each pixel, and the entropy of each image in bits."""
        greys = images(values)
        binned = (greys.astype(np.uint16) * self.bins // 256).astype(np.uint8)
        flat = binned.reshape(*binned.shape[:2], PIXELS)
        entropy = np.empty(flat.shape[:2])
        _entropies(flat, COUNT_BITS, entropy)
        return Binned(flat, entropy)

    def between(self, a: Prepared, b: Prepared) -> Float32[np.ndarray, "a b"]:
        """Return the mean NMI of each with each."""
        alike = np.empty((len(a[0]), len(b[0])), np.float32)
        _compare(Binned(*a), Binned(*b), COUNT_BITS, self.bins, alike)
        return alike

    def is_near(
        self, alike: Float[np.ndarray, "row"], a: Prepared, b: Prepared
    ) -> Bool[np.ndarray, "row"]:
        """Return which are near duplicates."""
        return alike >= self.least


@compiled
def _entropies(pixels: np.ndarray, count_bits: np.ndarray, entropy: np.ndarray) -> None:
    for row in range(len(pixels)):
        for image in range(pixels.shape[1]):
            counts = np.zeros(256, np.int64)
            for pixel in range(PIXELS):
                counts[pixels[row, image, pixel]] += 1
            entropy[row, image] = np.log2(PIXELS) - count_bits[counts].sum() / PIXELS


@compiled
def _mean(a: Binned, i: int, b: Binned, j: int, count_bits: np.ndarray, joint: np.ndarray) -> float:
    """Return the mean NMI of the images of two rows; `joint` is room to count in."""
    total = 0.0
    for image in range(a.bins.shape[1]):
        entropies = a.entropy[i, image] + b.entropy[j, image]
        if entropies == 0:
            total += 1.0 if a.bins[i, image, 0] == b.bins[j, image, 0] else 0.0
            continue
        joint[:] = 0
        for pixel in range(PIXELS):
            joint[a.bins[i, image, pixel], b.bins[j, image, pixel]] += 1
        bits = 0.0
        for count in joint.flat:
            bits += count_bits[count]
        total += 2 * (entropies - np.log2(PIXELS) + bits / PIXELS) / entropies
    return total / a.bins.shape[1]


@compiled
def _compare(
    a: Binned, b: Binned, count_bits: np.ndarray, num_bins: int, alike: np.ndarray
) -> None:
    joint = np.zeros((num_bins, num_bins), np.int32)
    for i in range(len(a.bins)):
        for j in range(len(b.bins)):
            alike[i, j] = _mean(a, i, b, j, count_bits, joint)


@compiled
def _compare_rows(
    a: Binned, b: Binned, count_bits: np.ndarray, num_bins: int, alike: np.ndarray
) -> None:
    joint = np.zeros((num_bins, num_bins), np.int32)
    for row in range(len(a.bins)):
        alike[row] = _mean(a, row, b, row, count_bits, joint)
