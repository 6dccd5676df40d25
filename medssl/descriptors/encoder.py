"""Encoder: the features of a trained network, pooled.

Source: none; the coarsest feature map's mean over space, as methods pool it.
"""

from collections.abc import Iterator
from itertools import product
from threading import Lock
from typing import Any, ClassVar

import numpy as np
import torch
from jaxtyping import Float, Float32
from torch import nn

from medssl.errors import ConfigError
from medssl.similarity import Kind

__all__ = ["Encoder"]


class Encoder:
    """Vectors as the network gives them, not normalized.

    An image is extended to a multiple of the coarsest stride by repeating its border. Where
    it is larger than a crop it is covered by crops at even distances, whose vectors are
    averaged. A 2-D network describes a volume by the mean of its slices.

    Args:
        network: An encoder in evaluation mode; computing happens where its weights are.
        crop_vox: Largest piece that the network sees at once; null for whole images. Take what
            it was trained on where the norm layers depend on the size.
        batch_size: Pieces at once.
        center_vox: The box in the middle of a volume that alone is described, its border
            repeated where the volume is smaller; null for whole volumes. Where images are cut
            out around something, it keeps their size out of the vectors.
    """

    kind: ClassVar[Kind] = "vector"
    learned: ClassVar[bool] = True
    columns: ClassVar[tuple[str, ...]] = ()

    def __init__(
        self,
        network: nn.Module,
        *,
        crop_vox: tuple[int, ...] | None = None,
        batch_size: int = 4,
        center_vox: tuple[int, int, int] | None = None,
    ) -> None:
        known: Any = network
        self.network, self.batch_size = network, batch_size
        self.spatial_dims: int = known.spatial_dims
        self.stride: int = known.strides[-1]
        self.crop_vox, self.center_vox = crop_vox, center_vox
        # Volumes are read side by side; what a network holds of two would be twice the memory.
        self._computing = Lock()
        if batch_size < 1:
            msg = f"batch_size must be at least 1, got {batch_size}"
            raise ConfigError(msg)
        if crop_vox is not None and (
            len(crop_vox) != self.spatial_dims or any(side % self.stride for side in crop_vox)
        ):
            msg = (
                f"crop_vox must be {self.spatial_dims} multiples of the network's coarsest "
                f"stride {self.stride}, got {crop_vox}"
            )
            raise ConfigError(msg)
        if center_vox is not None and min(center_vox) < 1:
            msg = f"center_vox must be three sides of at least 1 voxel, got {center_vox}"
            raise ConfigError(msg)

    def volume(self, voxels: Float32[np.ndarray, "channel i j k"]) -> Float32[np.ndarray, "dim"]:
        """Return the vector of a volume, or of the box in its middle."""
        if self.center_vox is not None:
            voxels = central(voxels, self.center_vox)
        if self.spatial_dims == 2:
            return self._pooled(np.moveaxis(voxels, -1, 0)).mean(axis=0)
        return self._pooled(voxels[None])[0]

    def slices(
        self, voxels: Float32[np.ndarray, "channel i j k"]
    ) -> Float32[np.ndarray, "slice dim"]:
        """Return the vector of each slice.

        Raises:
            ConfigError: If the network takes volumes, or a box of a volume is to be described.
        """
        if self.spatial_dims == 3:
            msg = "a network with 3 spatial axes describes no slices: set unit to volume"
            raise ConfigError(msg)
        if self.center_vox is not None:
            msg = "center_vox is a box of a volume, not of a slice: set unit to volume"
            raise ConfigError(msg)
        return self._pooled(np.moveaxis(voxels, -1, 0))

    def _pooled(
        self, images: Float32[np.ndarray, "image channel *spatial"]
    ) -> Float32[np.ndarray, "image dim"]:
        covered = padded(images, self.stride)
        boxes = list(covering(covered.shape[2:], self.crop_vox or covered.shape[2:]))
        places = list(product(range(len(images)), boxes))
        rows = []
        for start in range(0, len(places), self.batch_size):
            batch = [
                covered[image, :, *box] for image, box in places[start : start + self.batch_size]
            ]
            rows.append(self._mean_map(np.stack(batch)))
        by_image = np.concatenate(rows).reshape(len(images), len(boxes), -1)
        return by_image.mean(axis=1, dtype=np.float64).astype(np.float32)

    def _mean_map(
        self, crops: Float32[np.ndarray, "crop channel *spatial"]
    ) -> Float32[np.ndarray, "crop dim"]:
        device = next(self.network.parameters()).device
        with self._computing, torch.inference_mode():
            coarsest = self.network(torch.from_numpy(crops).to(device))[-1]
            return coarsest.flatten(2).mean(2).float().cpu().numpy()


def padded(
    images: Float[np.ndarray, "image channel *spatial"], multiple: int
) -> Float[np.ndarray, "image channel *larger"]:
    """Return images whose border is repeated until each side is a multiple."""
    missing = [(0, -side % multiple) for side in images.shape[2:]]
    return np.pad(images, [(0, 0), (0, 0), *missing], mode="edge")


def central(
    voxels: Float32[np.ndarray, "channel i j k"], box: tuple[int, int, int]
) -> Float32[np.ndarray, "channel box_i box_j box_k"]:
    """Return the box in the middle of a volume, its border repeated where it is smaller."""
    sides = list(zip(voxels.shape[1:], box, strict=True))
    missing = [max(0, wanted - side) for side, wanted in sides]
    starts = [max(0, side - wanted) // 2 for side, wanted in sides]
    inner = [slice(start, start + wanted) for start, (_, wanted) in zip(starts, sides, strict=True)]
    around = [(0, 0), *((lack // 2, lack - lack // 2) for lack in missing)]
    return np.pad(voxels[:, *inner], around, mode="edge")


def covering(shape: tuple[int, ...], crop: tuple[int, ...]) -> Iterator[tuple[slice, ...]]:
    """Return boxes of at most the crop's size that cover an image, at even distances."""
    spans = []
    for side, wanted in zip(shape, crop, strict=True):
        length = min(side, wanted)
        count = -(-side // length)
        starts = np.linspace(0, side - length, count).round().astype(int).tolist()
        spans.append([slice(start, start + length) for start in starts])
    return product(*spans)
