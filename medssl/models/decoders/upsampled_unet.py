"""U-Net, the decoding half without transposed convolutions: the nearest voxel is repeated.

Source: Chaitanya, Erdil, Karani, Konukoglu, "Contrastive learning of global and local features
for medical image segmentation with limited annotations", NeurIPS 2020, arXiv:2006.10511; its 2-D
network with `norm: batch`.
Departs from the paper: group norm by default; 3-D as well.
"""

from collections.abc import Sequence
from itertools import pairwise

import torch
from monai.networks.blocks.convolutions import Convolution
from torch import Tensor, nn
from torch.nn import functional

from medssl.layers import AnyNorm, he_normal, norm_layer
from medssl.models.decoders._factors import factors_of
from medssl.models.encoders._blocks import check_dims, crop_to, run

__all__ = ["UpsampledUNet"]


class UpsampledUNet(nn.Module):
    """Repeat, convolve, join the encoder's map, convolve twice a block; once in the finest.

    Args:
        channels: The encoder's channels, fine to coarse.
        strides: The encoder's strides.
        spatial_dims: 2 for images, 3 for volumes.
        norm: `batch` is the paper's, each rank has its own; `group` has at most 8 groups.
    """

    def __init__(
        self,
        channels: Sequence[int],
        strides: Sequence[int],
        spatial_dims: int,
        *,
        norm: AnyNorm = "group",
    ) -> None:
        super().__init__()
        check_dims("UpsampledUNet", spatial_dims)
        factors = factors_of("UpsampledUNet", strides)
        self.spatial_dims = spatial_dims
        self.channels = tuple(channels[-2::-1])
        self.strides = tuple(strides[-2::-1])
        last = len(factors) - 1
        self.blocks = nn.ModuleList(
            _Block(spatial_dims, coarse, fine, factor, 1 if number == last else 2, norm)
            for number, ((coarse, fine), factor) in enumerate(
                zip(pairwise(channels[::-1]), factors[::-1], strict=True)
            )
        )
        self.apply(he_normal)

    def forward(self, maps: Sequence[Tensor], blocks: int | None = None) -> tuple[Tensor, ...]:
        """Return the maps of the first `blocks` blocks, coarse to fine; of all where it is None.

        A map is as large as the encoder's of the same stride, whatever the size of the image.
        """
        wanted = len(self.blocks) if blocks is None else blocks
        if not 1 <= wanted <= len(self.blocks):
            msg = f"UpsampledUNet has {len(self.blocks)} blocks, was asked for {blocks}"
            raise ValueError(msg)
        feature, decoded = maps[-1], []
        for block, skip in zip(self.blocks[:wanted], maps[-2::-1], strict=False):
            feature = block(feature, skip)
            decoded.append(feature)
        return tuple(decoded)


class _Block(nn.Module):
    """A convolution of what is repeated, then some of both maps."""

    def __init__(  # a layer's shape
        self, dims: int, coarse: int, fine: int, factor: int, count: int, norm: AnyNorm
    ) -> None:
        super().__init__()
        self.factor, self.dims = factor, dims

        def convolution(before: int, side: int, padding: int) -> Convolution:
            return Convolution(
                dims, before, fine, kernel_size=side, padding=padding, act="relu",
                norm=norm_layer(norm, fine),
            )  # fmt: skip

        self.raise_ = convolution(coarse, 2, 0)
        widths = (2 * fine, *(fine,) * (count - 1))
        self.convolutions = nn.Sequential(*(convolution(width, 3, 1) for width in widths))

    def forward(self, feature: Tensor, skip: Tensor) -> Tensor:
        for axis in range(2, 2 + self.dims):
            feature = feature.repeat_interleave(self.factor, dim=axis)
        # an even kernel needs one voxel more, after the last
        raised = run(self.raise_, functional.pad(crop_to(feature, skip), (0, 1) * self.dims))
        return run(self.convolutions, torch.cat([raised, skip], dim=1))
