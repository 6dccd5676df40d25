"""Basic U-Net, the encoding half: two convolutions a level, the largest of each cell goes down.

Source: Ronneberger, Fischer, Brox, "U-Net: Convolutional Networks for Biomedical Image
Segmentation", MICCAI 2015, arXiv:1505.04597, by way of MONAI's BasicUNet blocks. With `norm: batch`
and channels of 16, 32, 64, 128, 128, 128 it is the 2-D encoder of Chaitanya et al., NeurIPS 2020,
arXiv:2006.10511.
Departs from the paper: padded convolutions; normalized, by groups unless told otherwise.
"""

from itertools import pairwise

from jaxtyping import Float
from monai.networks.nets.basic_unet import TwoConv
from torch import Tensor, nn

from medssl.layers import AnyNorm, he_normal, norm_layer
from medssl.models.encoders._blocks import check_channels, check_dims, check_not_one_voxel, run

__all__ = ["BasicUNet"]

POOLING = {2: nn.MaxPool2d, 3: nn.MaxPool3d}


class BasicUNet(nn.Module):
    """Convolution, normalization, ReLU, twice a level; takes images of any size.

    Args:
        in_channels: Channels of the image.
        channels: Channels of each level's map, fine to coarse; the first is at full resolution.
        spatial_dims: 2 for images, 3 for volumes.
        norm: `group` (at most 8 groups) and `instance` keep no batch statistics; `batch` does, and
            each rank has its own.
    """

    def __init__(
        self,
        *,
        in_channels: int = 1,
        channels: tuple[int, ...] = (16, 32, 64, 128),
        spatial_dims: int = 3,
        norm: AnyNorm = "group",
    ) -> None:
        super().__init__()
        check_dims("BasicUNet", spatial_dims)
        check_channels("BasicUNet", channels)
        self.spatial_dims, self.channels, self.norm = spatial_dims, tuple(channels), norm
        self.strides = tuple(2**level for level in range(len(channels)))
        self.pooling = POOLING[spatial_dims](2, ceil_mode=True)
        self.blocks = nn.ModuleList(
            TwoConv(spatial_dims, before, after, "relu", norm_layer(norm, after), bias=True)
            for before, after in pairwise((in_channels, *channels))
        )
        self.apply(he_normal)

    def forward(self, image: Float[Tensor, "batch channel *spatial"]) -> tuple[Tensor, ...]:
        """Return a feature map a level; one of a level of stride s has length ceil(side / s)."""
        check_not_one_voxel("BasicUNet", self.norm, image.shape[2:], self.strides[-1])
        maps: list[Tensor] = []
        for block in self.blocks:
            maps.append(run(block, self.pooling(maps[-1]) if maps else image))
        return tuple(maps)
