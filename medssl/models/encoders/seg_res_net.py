"""SegResNet, the encoding half: residual blocks that normalize before they convolve.

Source: Myronenko, "3D MRI brain tumor segmentation using autoencoder regularization", BrainLes
2018, arXiv:1810.11654, by way of MONAI's SegResNet.
Departs from the paper: without the autoencoder's branch and without dropout.
"""

from jaxtyping import Float
from monai.networks.nets.segresnet import SegResNet as MonaiSegResNet
from torch import Tensor, nn

from medssl.models.encoders._blocks import check_dims, run

__all__ = ["SegResNet"]


class SegResNet(nn.Module):
    """A convolution, then levels of residual blocks; each level has twice the channels.

    Args:
        in_channels: Channels of the image.
        width: Channels of the first level, at full resolution; a multiple of 8, the groups that
            are normalized.
        depths: Residual blocks of each level.
        spatial_dims: 2 for images, 3 for volumes.
    """

    def __init__(
        self,
        *,
        in_channels: int = 1,
        width: int = 16,
        depths: tuple[int, ...] = (1, 2, 2, 4),
        spatial_dims: int = 3,
    ) -> None:
        super().__init__()
        check_dims("SegResNet", spatial_dims)
        if width < 8 or width % 8:
            msg = f"SegResNet needs a width that is a multiple of 8, got {width}"
            raise ValueError(msg)
        if len(depths) < 2 or min(depths) < 1:
            msg = f"SegResNet needs at least 2 levels of at least one block, got {depths}"
            raise ValueError(msg)
        self.spatial_dims = spatial_dims
        self.channels = tuple(width * 2**level for level in range(len(depths)))
        self.strides = tuple(2**level for level in range(len(depths)))
        whole = MonaiSegResNet(
            spatial_dims, width, in_channels, blocks_down=depths, blocks_up=(1,) * (len(depths) - 1)
        )
        first = nn.Sequential(whole.convInit, whole.down_layers[0])
        self.blocks = nn.ModuleList([first, *whole.down_layers[1:]])

    def forward(self, image: Float[Tensor, "batch channel *spatial"]) -> tuple[Tensor, ...]:
        """Return a feature map a level; one of a level of stride s has length ceil(side / s)."""
        maps = []
        for block in self.blocks:
            image = run(block, image)
            maps.append(image)
        return tuple(maps)
