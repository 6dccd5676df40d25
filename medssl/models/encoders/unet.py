"""U-Net, the encoding half: a block of two convolutions a level, each level half as fine.

Source: Isensee et al., "nnU-Net", Nature Methods 18, 2021, by way of MONAI's DynUNet blocks.
Departs from the paper: group norm by default.
"""

from itertools import pairwise

from jaxtyping import Float
from monai.networks.blocks.dynunet_block import UnetBasicBlock
from monai.networks.nets.dynunet import DynUNet
from torch import Tensor, nn

from medssl.layers import Norm, norm_layer
from medssl.models.encoders._blocks import check_channels, check_dims, check_not_one_voxel, run

__all__ = ["UNet"]


class UNet(nn.Module):
    """Plain convolutions with leaky ReLU, in 2-D or 3-D; takes images of any size.

    Args:
        in_channels: Channels of the image.
        channels: Channels of each level's map, fine to coarse; the first is at full resolution.
        spatial_dims: 2 for images, 3 for volumes.
        norm: `instance` is nnU-Net's, and leaves little in the mean of a map, which is what
            methods and diagnostics pool; `group` (at most 8 groups) keeps what channels of a
            group have more than others, and lives with maps of one voxel.
    """

    def __init__(
        self,
        *,
        in_channels: int = 1,
        channels: tuple[int, ...] = (16, 32, 64, 128),
        spatial_dims: int = 3,
        norm: Norm = "group",
    ) -> None:
        super().__init__()
        check_dims("UNet", spatial_dims)
        check_channels("UNet", channels)
        self.spatial_dims, self.channels, self.norm = spatial_dims, tuple(channels), norm
        self.strides = tuple(2**level for level in range(len(channels)))
        self.blocks = nn.ModuleList(
            UnetBasicBlock(
                spatial_dims,
                before,
                after,
                kernel_size=3,
                stride=1 if level == 0 else 2,
                norm_name=norm_layer(norm, after),
            )
            for level, (before, after) in enumerate(pairwise((in_channels, *channels)))
        )
        self.apply(DynUNet.initialize_weights)

    def forward(self, image: Float[Tensor, "batch channel *spatial"]) -> tuple[Tensor, ...]:
        """Return a feature map a level; one of a level of stride s has length ceil(side / s)."""
        check_not_one_voxel("UNet", self.norm, image.shape[2:], self.strides[-1])
        maps = []
        for block in self.blocks:
            image = run(block, image)
            maps.append(image)
        return tuple(maps)
