"""Thumbnail: the image at 128 x 128 pixels of 256 greys, to be compared by SSIM or NMI.

Greys stand for a fixed window of the normalized image, so the histograms that NMI counts have
one range for all.

Source: Wolf et al., CIBM 183, 2024, arXiv:2410.14524; the arms SSIM and MI.
Departs from the paper: sizes are not published.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Float32, UInt8

from medssl.descriptors._pictures import grey, resized
from medssl.similarity import SIDE_PX, Kind

__all__ = ["Thumbnail"]


@dataclass(frozen=True, kw_only=True)
class Thumbnail:
    """A slice has an image a channel, a volume three: its middle axial, coronal, sagittal plane."""

    kind: ClassVar[Kind] = "image"
    learned: ClassVar[bool] = False
    columns: ClassVar[tuple[str, ...]] = ()

    def volume(self, voxels: Float32[np.ndarray, "channel i j k"]) -> UInt8[np.ndarray, "dim"]:
        """Return the images of a volume's middle planes."""
        planes = [
            np.take(channel, [channel.shape[axis] // 2], axis=axis).swapaxes(axis, 2)
            for channel in voxels
            for axis in (2, 1, 0)
        ]
        return np.concatenate([_small(plane).ravel() for plane in planes])

    def slices(
        self, voxels: Float32[np.ndarray, "channel i j k"]
    ) -> UInt8[np.ndarray, "slice dim"]:
        """Return the images of each slice."""
        by_channel = np.stack([_small(channel) for channel in voxels], axis=1)
        return by_channel.reshape(voxels.shape[-1], -1)


def _small(voxels: Float32[np.ndarray, "i j k"]) -> UInt8[np.ndarray, "k side side"]:
    return resized(grey(voxels), (SIDE_PX, SIDE_PX))
