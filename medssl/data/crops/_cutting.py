"""Where a crop begins, and what is read there.

A crop is a block of a cached volume. A slice is a block of one voxel along k whose last axis
goes; `crop_vox` of two numbers asks for slices, of three for blocks. Where a crop reaches
beyond the volume it holds zeros, which after normalization is the lower end of a CT window
and the low percentile elsewhere, and background in a label.
"""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from jaxtyping import Shaped

from medssl.data.randomness import integer

Read = Callable[..., np.ndarray]


def checked_crop(crop_vox: tuple[int, ...]) -> tuple[int, ...]:
    """Return the crop if it is one of slices or of blocks."""
    if len(crop_vox) not in (2, 3) or min(crop_vox) < 1:
        msg = f"crop_vox must be 2 counts for slices or 3 for blocks, got {crop_vox}"
        raise ValueError(msg)
    return crop_vox


def checked_count(name: str, value: int) -> int:
    """Return what there must be at least one of."""
    if value < 1:
        msg = f"{name} must be at least 1, got {value}"
        raise ValueError(msg)
    return value


def checked_thickness(thickness: int, crop_vox: tuple[int, ...]) -> int:
    """Return how many slices a stack has, if there is one in its middle; blocks have no stacks."""
    if thickness < 1 or thickness % 2 == 0:
        msg = f"thickness must be an odd number of slices, got {thickness}"
        raise ValueError(msg)
    if thickness > 1 and len(crop_vox) == 3:
        msg = (
            f"thickness {thickness} makes stacks of slices, crop_vox {crop_vox} is for blocks; "
            "leave thickness out, or give crop_vox 2 counts"
        )
        raise ValueError(msg)
    return thickness


def anywhere(generator: torch.Generator, size: int, crop: int) -> int:
    """Return a first voxel such that the crop lies inside; centered where it does not fit."""
    return integer(generator, size - crop + 1) if size > crop else centered(size, crop)


def around(center: int, size: int, crop: int) -> int:
    """Return the first voxel of the crop around a voxel, moved as little as keeps it inside."""
    if size <= crop:
        return centered(size, crop)
    return min(max(center - crop // 2, 0), size - crop)


def centered(size: int, crop: int) -> int:
    """Return the first voxel of a crop around the middle, below 0 where it does not fit."""
    return -((crop - size) // 2)


def cut(
    read: Read, shape: Sequence[int], start: Sequence[int], crop_vox: tuple[int, ...]
) -> Shaped[np.ndarray, "channel *spatial"]:
    """Read a crop of a volume of this spatial shape; a slice lies at `start[2]`."""
    block = (*crop_vox, 1)[:3]
    begin = [max(first, 0) for first in start]
    end = [min(first + crop, n) for first, crop, n in zip(start, block, shape, strict=True)]
    piece = read(*(slice(low, high) for low, high in zip(begin, end, strict=True)))
    if piece.shape[1:] != block:
        edges = zip(start, begin, end, strict=True)
        inside = tuple(slice(low - first, high - first) for first, low, high in edges)
        padded = np.zeros((len(piece), *block), piece.dtype)
        padded[:, *inside] = piece
        piece = padded
    return piece[..., 0] if len(crop_vox) == 2 else piece


def cut_stack(
    read: Read,
    shape: Sequence[int],
    start: Sequence[int],
    crop_vox: tuple[int, int],
    *,
    across: int = 2,
    thickness: int = 1,
) -> Shaped[np.ndarray, "channel *plane"]:
    """Read a slice between its neighbors, a channel each; it lies at `start[across]`.

    Of a volume of several channels, all slices of the first one come first.
    """
    block, begin = [*crop_vox], [*start]
    block.insert(across, thickness)
    begin[across] -= thickness // 2
    piece = cut(read, shape, begin, (block[0], block[1], block[2]))
    stack = np.moveaxis(piece, 1 + across, 1)
    return np.ascontiguousarray(stack.reshape(-1, *stack.shape[2:]))
