"""Convolutional: three more convolutions from the finest feature map to a class for each voxel.

Source: Chaitanya, Erdil, Karani, Konukoglu, "Contrastive learning of global and local features
for medical image segmentation with limited annotations", NeurIPS 2020, arXiv:2006.10511; its 2-D
head with `norm: batch`.
Departs from the paper: group norm by default; 3-D as well.
"""

from jaxtyping import Float
from monai.networks.blocks.convolutions import Convolution
from torch import Tensor, nn

from medssl.layers import AnyNorm, he_normal, norm_layer

__all__ = ["ConvolutionalHead"]


class ConvolutionalHead(nn.Module):
    """Two normalized convolutions of 3 voxels a side with ReLU, and a third one to logits.

    Args:
        in_channels: Channels of the feature map, kept until the last convolution.
        num_classes: Number of logits, the background's included.
        spatial_dims: 2 for images, 3 for volumes.
        norm: `batch` is the paper's; `group` and `instance` keep no batch statistics.
    """

    def __init__(
        self, in_channels: int, num_classes: int, spatial_dims: int, *, norm: AnyNorm = "group"
    ) -> None:
        super().__init__()
        if spatial_dims not in (2, 3):
            msg = f"spatial_dims must be 2 or 3, got {spatial_dims}"
            raise ValueError(msg)
        self.layers = nn.Sequential(
            *(
                Convolution(
                    spatial_dims, in_channels, in_channels, act="relu",
                    norm=norm_layer(norm, in_channels),
                )
                for _ in range(2)
            ),
            Convolution(spatial_dims, in_channels, num_classes, conv_only=True, bias=False),
        )  # fmt: skip
        self.apply(he_normal)

    def forward(
        self, features: Float[Tensor, "batch in_channels *spatial"]
    ) -> Float[Tensor, "batch class *spatial"]:
        """Return the logits of each voxel of the map."""
        return self.layers(features)
