"""Residual U-Net, the encoding half: more residual blocks the coarser the map (nnU-Net's ResEnc).

Source: Isensee et al., "nnU-Net Revisited: A Call for Rigorous Validation in 3D Medical Image
Segmentation", MICCAI 2024, arXiv:2404.09556, by way of MONAI's DynUNet blocks.
Departs from the paper: group norm by default; no convolution before the first block.
"""

from itertools import pairwise

from jaxtyping import Float
from monai.networks.blocks.dynunet_block import UnetResBlock
from monai.networks.nets.dynunet import DynUNet
from torch import Tensor, nn

from medssl.layers import Norm, norm_layer
from medssl.models.encoders._blocks import check_channels, check_dims, check_not_one_voxel, run

__all__ = ["ResUNet"]


class ResUNet(nn.Module):
    """Residual blocks with leaky ReLU, in 2-D or 3-D; takes images of any size.

    Args:
        in_channels: Channels of the image.
        channels: Channels of each level's map, fine to coarse; the first is at full resolution.
        depths: Residual blocks of each level; the paper's six levels have 1, 3, 4, 6, 6, 6.
        spatial_dims: 2 for images, 3 for volumes.
        norm: `instance` is the paper's; `group` has at most 8 groups.
    """

    def __init__(
        self,
        *,
        in_channels: int = 1,
        channels: tuple[int, ...] = (32, 64, 128, 256),
        depths: tuple[int, ...] = (1, 3, 4, 6),
        spatial_dims: int = 3,
        norm: Norm = "group",
    ) -> None:
        super().__init__()
        check_dims("ResUNet", spatial_dims)
        check_channels("ResUNet", channels)
        if len(depths) != len(channels) or min(depths) < 1:
            msg = f"ResUNet needs a depth of at least 1 for each of {channels}, got {depths}"
            raise ValueError(msg)
        self.spatial_dims, self.channels, self.norm = spatial_dims, tuple(channels), norm
        self.strides = tuple(2**level for level in range(len(channels)))

        def block(before: int, after: int, stride: int) -> UnetResBlock:
            return UnetResBlock(spatial_dims, before, after, 3, stride, norm_layer(norm, after))

        self.blocks = nn.ModuleList(
            nn.Sequential(
                block(before, after, 1 if level == 0 else 2),
                *(block(after, after, 1) for _ in range(depth - 1)),
            )
            for level, ((before, after), depth) in enumerate(
                zip(pairwise((in_channels, *channels)), depths, strict=True)
            )
        )
        self.apply(DynUNet.initialize_weights)

    def forward(self, image: Float[Tensor, "batch channel *spatial"]) -> tuple[Tensor, ...]:
        """Return a feature map a level; one of a level of stride s has length ceil(side / s)."""
        check_not_one_voxel("ResUNet", self.norm, image.shape[2:], self.strides[-1])
        maps = []
        for block in self.blocks:
            image = run(block, image)
            maps.append(image)
        return tuple(maps)
