"""What encoders and decoders are made of."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from medssl.layers import AnyNorm

# An input this short along an axis may become a map of two voxels within a block.
SMALL_VOX = 4


def check_channels(owner: str, channels: tuple[int, ...]) -> None:
    """Refuse what is no pyramid of maps."""
    if len(channels) < 2 or min(channels) < 1:
        msg = f"{owner} needs the channels of at least 2 levels, got {channels}"
        raise ValueError(msg)


def check_not_one_voxel(owner: str, norm: AnyNorm, sides: Sequence[int], stride: int) -> None:
    """Refuse to normalize a map of one voxel by itself, which leaves nothing of it."""
    if norm == "instance" and max(sides) <= stride:
        msg = (
            f"{owner} with instance norm needs more than one voxel in its coarsest map, of stride "
            f"{stride}, got an image of {tuple(sides)}; use norm: group, fewer levels or larger "
            "crops"
        )
        raise ValueError(msg)


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
