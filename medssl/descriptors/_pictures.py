"""Slices as pictures of 256 greys, in a fixed window, and smaller ones of them."""

import numpy as np
from jaxtyping import Float32, UInt8
from PIL import Image

LANCZOS = Image.Resampling.LANCZOS


def grey(voxels: Float32[np.ndarray, "i j k"]) -> UInt8[np.ndarray, "k j i"]:
    """Return slices as pictures of 256 greys: 0 and below is black, 1 and above is white."""
    return np.rint(voxels.clip(0, 1) * 255).astype(np.uint8).T


def resized(
    pictures: UInt8[np.ndarray, "k j i"], size: tuple[int, int]
) -> UInt8[np.ndarray, "k b a"]:
    """Return pictures with another width and height."""
    small = [Image.fromarray(np.ascontiguousarray(one)).resize(size, LANCZOS) for one in pictures]
    return np.stack([np.asarray(one) for one in small])
