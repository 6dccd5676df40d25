"""A volume in memory: voxels and where they are in the patient."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from blake3 import blake3
from jaxtyping import Shaped

from medssl.errors import DataError
from medssl.geometry import Affine


@dataclass(frozen=True)
class Volume:
    """Voxels in (channel, i, j, k) order with their affine to RAS+ millimeters."""

    voxels: Shaped[np.ndarray, "channel i j k"]
    affine: Affine

    def __post_init__(self) -> None:
        if not np.isfinite(np.linalg.det(self.affine)) or np.linalg.det(self.affine) == 0:
            msg = f"affine must be invertible, got {self.affine.tolist()}"
            raise DataError(msg)


def digest(volume: Volume) -> str:
    """Return a hash of number type, shape, voxels and affine: equal for copies under any name."""
    voxels = volume.voxels
    slices = (slice_digest(each) for channel in voxels for each in in_order(channel.T))
    return digest_of(slices, voxels.dtype, voxels.shape, volume.affine)


def slice_digest(values: Shaped[np.ndarray, "j i"]) -> bytes:
    """Return a hash of the values of a slice, which says nothing of their type."""
    ordered = in_order(values.astype(values.dtype.newbyteorder("<"), copy=False))
    return blake3(ordered.reshape(-1).view(np.uint8).data).digest()


def digest_of(
    slices: Iterable[bytes], dtype: np.dtype[Any], shape: tuple[int, ...], affine: Affine
) -> str:
    """Return the digest of a volume of which each slice is known by its own.

    Args:
        slices: Of each slice along the last axis, a channel after the other.
        dtype: Of all its voxels.
        shape: Channels included.
        affine: Counts to 1e-4 mm.
    """
    state = blake3(f"{dtype.newbyteorder('<').str} {shape}".encode())
    for each in slices:
        state.update(each)
    rounded = np.round(affine, 4) + 0.0  # -0.0 becomes 0.0
    state.update(rounded.astype("<f8").tobytes())
    return state.hexdigest(length=16)


def in_order(voxels: Shaped[np.ndarray, "*axes"]) -> Shaped[np.ndarray, "*axes"]:
    """Return the voxels in C order, a copy if they are in another one.

    Turned plane by plane, which the processor's cache holds: six times as fast as numpy.
    """
    if voxels.flags.c_contiguous or voxels.size == 0:
        return np.ascontiguousarray(voxels)
    # What is one voxel long has no order, whatever its stride.
    axes = [axis for axis in range(voxels.ndim) if voxels.shape[axis] > 1]
    fastest = min(axes, key=lambda axis: abs(voxels.strides[axis]))
    others = [axis for axis in axes[:-1] if axis != fastest]
    if fastest == axes[-1] or not others:
        return np.ascontiguousarray(voxels)
    along = max(others, key=voxels.shape.__getitem__)
    turned = np.empty(voxels.shape, voxels.dtype)
    for new, old in zip(np.moveaxis(turned, along, 0), np.moveaxis(voxels, along, 0), strict=True):
        new[...] = old
    return turned
