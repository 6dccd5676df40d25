"""U-Net, the decoding half: from the coarsest map up, each block joins the encoder's finer map.

Source: Isensee et al., "nnU-Net", Nature Methods 18, 2021, by way of MONAI's DynUNet blocks.
Departs from the paper: group norm by default.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import cast

import torch
from monai.networks.blocks.dynunet_block import UnetUpBlock
from monai.networks.nets.dynunet import DynUNet
from torch import Tensor, nn

from medssl.layers import Norm, norm_layer
from medssl.models.decoders._factors import factors_of
from medssl.models.encoders._blocks import check_dims, crop_to, run

__all__ = ["UNetDecoder"]


class UNetDecoder(nn.Module):
    """A transposed convolution and two plain ones a block; fits every encoder of two maps or more.

    Args:
        channels: The encoder's channels, fine to coarse.
        strides: The encoder's strides.
        spatial_dims: 2 for images, 3 for volumes.
        norm: `instance` is nnU-Net's; `group` has at most 8 groups.
    """

    def __init__(
        self,
        channels: Sequence[int],
        strides: Sequence[int],
        spatial_dims: int,
        *,
        norm: Norm = "group",
    ) -> None:
        super().__init__()
        check_dims("UNetDecoder", spatial_dims)
        factors = factors_of("UNetDecoder", strides)
        self.spatial_dims = spatial_dims
        self.channels = tuple(channels[-2::-1])
        self.strides = tuple(strides[-2::-1])
        self.blocks = nn.ModuleList(
            UnetUpBlock(
                spatial_dims,
                coarse,
                fine,
                kernel_size=3,
                stride=1,
                upsample_kernel_size=factor,
                norm_name=norm_layer(norm, fine),
            )
            for (coarse, fine), factor in zip(pairwise(channels[::-1]), factors[::-1], strict=True)
        )
        self.apply(DynUNet.initialize_weights)

    def forward(self, maps: Sequence[Tensor], blocks: int | None = None) -> tuple[Tensor, ...]:
        """Return the maps of the first `blocks` blocks, coarse to fine; of all where it is None.

        A map is as large as the encoder's of the same stride, whatever the size of the image.
        """
        wanted = len(self.blocks) if blocks is None else blocks
        if not 1 <= wanted <= len(self.blocks):
            msg = f"UNetDecoder has {len(self.blocks)} blocks, was asked for {blocks}"
            raise ValueError(msg)
        feature, decoded = maps[-1], []
        for module, skip in zip(self.blocks[:wanted], maps[-2::-1], strict=False):
            block = cast(UnetUpBlock, module)
            raised = crop_to(run(block.transp_conv, feature), skip)
            feature = run(block.conv_block, torch.cat([raised, skip], dim=1))
            decoded.append(feature)
        return tuple(decoded)
