"""Segmentation: a class for each voxel, read off the finest feature map by one linear map.

Source: none.
"""

from jaxtyping import Float
from torch import Tensor, nn

__all__ = ["SegmentationHead"]

CONVOLUTION = {2: nn.Conv2d, 3: nn.Conv3d}


class SegmentationHead(nn.Module):
    """A 1x1 convolution from features to class logits.

    Args:
        in_channels: Channels of the feature map.
        num_classes: Number of logits, the background's included.
        spatial_dims: 2 for images, 3 for volumes.
    """

    def __init__(self, in_channels: int, num_classes: int, spatial_dims: int) -> None:
        super().__init__()
        if spatial_dims not in CONVOLUTION:
            msg = f"spatial_dims must be 2 or 3, got {spatial_dims}"
            raise ValueError(msg)
        self.logits = CONVOLUTION[spatial_dims](in_channels, num_classes, kernel_size=1)

    def forward(
        self, features: Float[Tensor, "batch in_channels *spatial"]
    ) -> Float[Tensor, "batch class *spatial"]:
        """Return the logits of each voxel of the map."""
        return self.logits(features)
