"""What the greys of images amount to, image by image."""

import numpy as np
from jaxtyping import Float, Float32, UInt8

from medssl.descriptors._pictures import grey

GREYS = 256
COLUMNS = ("entropy_bits", "foreground")


def greys(voxels: Float32[np.ndarray, "channel i j k"]) -> UInt8[np.ndarray, "k pixel"]:
    """Return the greys of each slice, of all channels."""
    by_channel = np.stack([grey(channel) for channel in voxels], axis=1)
    return by_channel.reshape(len(by_channel), -1)


def entropy_bits(pixels: UInt8[np.ndarray, "image pixel"]) -> Float[np.ndarray, "image"]:
    """Return Shannon's entropy of the greys, in bits."""
    images = np.arange(len(pixels))[:, None] * GREYS
    counts = np.bincount((pixels + images).ravel(), minlength=GREYS * len(pixels))
    share = counts.reshape(len(pixels), GREYS) / pixels.shape[1]
    bits: np.ndarray = -(share * np.log2(np.where(share > 0, share, 1))).sum(axis=1)
    return bits + 0.0  # no negative zero


def foreground(
    voxels: Float32[np.ndarray, "channel i j k"], above: float
) -> Float[np.ndarray, "k"]:
    """Return the share of voxels above a normalized intensity, of each slice."""
    return (voxels > above).mean(axis=(0, 1, 2))


def as_one(voxels: Float32[np.ndarray, "channel i j k"]) -> Float32[np.ndarray, "channel i jk one"]:
    """Return a volume as one large slice."""
    return voxels.reshape(*voxels.shape[:2], -1, 1)
