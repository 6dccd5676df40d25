"""Digits: a square of a slice, and in targets a handwritten digit blended into it.

Source: the digits on photographs of Louiset, Duchesnay, Grigis, Gori, "Separating common from
salient patterns with Contrastive Representation Learning", ICLR 2024, arXiv:2402.11928: half the
image in the background, half the image and half a digit in the target.
Code: neurospin-projects/2024_rlouiset_sep_clr@0e40bff.
Digits: Alpaydin and Kaynak, "Optical Recognition of Handwritten Digits", UCI 1998, the 1797 that
scikit-learn ships, of 8 x 8 pixels in 17 levels; who wrote which is not known.
Departs from the paper: these digits instead of MNIST's, on slices of volumes.
"""

from dataclasses import dataclass
from functools import cache
from typing import ClassVar

import numpy as np
from jaxtyping import Float32
from skimage.transform import resize
from sklearn.datasets import load_digits

from medssl.data.planting import Planted, Scene
from medssl.data.volume import Volume

__all__ = ["Digits"]

WRITTEN_VOX = 8  # pixels of a digit as it was written
BRIGHTEST = 16
HELD_OUT = 1 / 3
# One division for all runs: what one trains on is never what another one tests on.
_DIVISION = 0


@dataclass(frozen=True, kw_only=True)
class Digits:
    """One slice of the middle half of the volume, about the middle of its plane.

    Intensities are brought to [0, 1] by a range that is the same for all images, so that those of
    the background are dimmed as the targets' are.

    Args:
        side_vox: Of the square; beyond a smaller slice its border is repeated.
        digit_vox: Side of the digit, in the middle of the square.
        low: Normalized intensity that becomes black.
        high: Normalized intensity that becomes white, half as bright as where a digit lies on it.
    """

    plants: ClassVar[tuple[str, ...]] = ("digit",)

    side_vox: int = 32
    digit_vox: int = 24
    low: float = 0.0
    high: float = 1.0

    def __post_init__(self) -> None:
        if not WRITTEN_VOX <= self.digit_vox <= self.side_vox:
            msg = (
                f"digit_vox must be from {WRITTEN_VOX} to side_vox, "
                f"got {self.digit_vox} and {self.side_vox}"
            )
            raise ValueError(msg)
        if not -np.inf < self.low < self.high < np.inf:
            msg = f"low must be below high, got {self.low} and {self.high}"
            raise ValueError(msg)

    def __call__(
        self, scene: Scene, rng: np.random.Generator, *, is_target: bool, is_held_out: bool
    ) -> Planted:
        """Return a square; digits that are held out are others than those that are not."""
        num_slices = scene.volume.voxels.shape[3]
        plane = int(rng.integers(num_slices // 4, num_slices - num_slices // 4))
        square = cut(scene.volume, plane, self.side_vox)
        blended = 0.5 * np.clip((square.voxels - self.low) / (self.high - self.low), 0, 1)
        attributes: dict[str, str] = {}
        if is_target:
            digit = int(rng.integers(10))
            pictures = written(is_held_out=is_held_out)[digit]
            picture = pictures[rng.integers(len(pictures))]
            blended[..., 0] += 0.5 * framed(picture, self.digit_vox, self.side_vox)
            attributes = {"digit": str(digit)}
        return Planted(Volume(blended, square.affine), attributes, plane=0)


def cut(volume: Volume, plane: int, side_vox: int) -> Volume:
    """Return a square of a slice about its middle, and where it is."""
    sizes = volume.voxels.shape[1:3]
    starts = [(size - side_vox) // 2 for size in sizes]
    i, j = (
        np.clip(np.arange(start, start + side_vox), 0, size - 1)
        for start, size in zip(starts, sizes, strict=True)
    )
    shift = np.eye(4)
    shift[:3, 3] = [*starts, plane]
    return Volume(volume.voxels[:, i[:, None], j, plane, None], volume.affine @ shift)


def framed(
    picture: Float32[np.ndarray, "row column"], digit_vox: int, side_vox: int
) -> Float32[np.ndarray, "i j"]:
    """Return a digit enlarged in the middle of a black square.

    It is upright where images are looked at with anterior up: from left to right along the first
    axis, from the bottom up along the second.
    """
    large = resize(picture, (digit_vox, digit_vox), order=1, mode="edge", anti_aliasing=False)
    square = np.zeros((side_vox, side_vox), np.float32)
    start = (side_vox - digit_vox) // 2
    inside = slice(start, start + digit_vox)
    square[inside, inside] = large[::-1].T
    return square


@cache
def written(*, is_held_out: bool) -> tuple[Float32[np.ndarray, "picture row column"], ...]:
    """Return the pictures of each digit from 0 to 9: a third of each digit's, or the others."""
    bundled = load_digits()
    rng = np.random.default_rng(_DIVISION)
    found = []
    for digit in range(10):
        rows = rng.permutation(np.flatnonzero(bundled.target == digit))
        held = round(HELD_OUT * len(rows))
        chosen = rows[:held] if is_held_out else rows[held:]
        found.append((bundled.images[chosen] / BRIGHTEST).astype(np.float32))
    return tuple(found)
