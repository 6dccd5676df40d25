"""From an encoder's feature maps back to fine resolution, a block a level.

A decoder is made for an encoder: its first argument is the encoder's `channels`, its second
the encoder's `strides`. `blocks` runs only the first of them.
"""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from torch import Tensor, nn


@runtime_checkable
class Decoder(Protocol):
    """Maps an encoder's feature maps (fine to coarse) to decoder maps (coarse to fine).

    Attributes:
        channels: Channels of the map of each block, coarse to fine.
        strides: Voxels of the image that one step in each map covers.
        spatial_dims: 2 or 3.
        blocks: The blocks in the order they run, so that some can be frozen or exported.
    """

    channels: tuple[int, ...]
    strides: tuple[int, ...]
    spatial_dims: int
    blocks: nn.ModuleList

    def __call__(self, maps: Sequence[Tensor], blocks: int | None = None) -> tuple[Tensor, ...]:
        """Return the maps of the first `blocks` blocks, of all where it is None."""
        ...
