"""What the U-Net's two halves are made of."""

from math import gcd
from typing import Literal

import torch
from torch import Tensor, nn

# An input this short along an axis may become a map of two voxels within a block.
SMALL_VOX = 4

Norm = Literal["instance", "group"]


def norm_layer(norm: Norm, channels: int) -> tuple[str, dict[str, object]]:
    """Return MONAI's name of a normalization that keeps no batch statistics, and its arguments."""
    if norm == "instance":
        return "instance", {"affine": True}
    # a group of at least two channels has something to be normalized by in a map of one voxel
    return "group", {"num_groups": max(1, gcd(16, channels) // 2)}


def check_dims(owner: str, spatial_dims: int) -> None:
    """Refuse what is neither an image nor a volume."""
    if spatial_dims not in (2, 3):
        msg = f"{owner}: spatial_dims must be 2 or 3, got {spatial_dims}"
        raise ValueError(msg)


def crop_to(feature: Tensor, like: Tensor) -> Tensor:
    """Return the map without what goes beyond another along the spatial axes."""
    for axis, length in enumerate(like.shape[2:], start=2):
        feature = feature.narrow(axis, 0, length)
    return feature


def run(block: nn.Module, feature: Tensor) -> Tensor:
    """Return a block's output; that of a small map in float32, if it is computed on the CPU.

    There, bfloat16 gradients of a 3-D convolution's weights hold whatever was in memory where
    the map has two voxels along its first axis or one along its last (torch 2.14: repeated
    backward passes differ, some are infinite). At that size float32 costs next to nothing.
    """
    if feature.device.type != "cpu" or min(feature.shape[2:]) > SMALL_VOX:
        result: Tensor = block(feature)
        return result
    with torch.autocast("cpu", enabled=False):
        exact: Tensor = block(feature.float())
        return exact
