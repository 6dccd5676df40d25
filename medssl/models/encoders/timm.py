"""Networks of timm, in 2-D: ResNets, vision transformers and many more, by timm's names.

Source: He et al., "Deep Residual Learning for Image Recognition", CVPR 2016, arXiv:1512.03385, with
group norm by Wu, He, ECCV 2018, arXiv:1803.08494; Dosovitskiy et al., "An Image is Worth 16x16
Words", ICLR 2021, arXiv:2010.11929; all by way of Wightman's timm.
"""

from difflib import get_close_matches
from typing import Any

import timm
from jaxtyping import Float
from torch import Tensor, nn

from medssl.errors import ConfigError
from medssl.models.encoders._blocks import check_dims

__all__ = ["Timm"]


class Timm(nn.Module):
    """Any network of which timm gives feature maps; a transformer has one map, that of its end.

    Weights are drawn, nothing is downloaded.

    Args:
        in_channels: Channels of the image.
        architecture: timm's name of it: `resnet50_gn`, whose cases do not see each other;
            `resnet50` with batch norm, which LVM-Med pretrained; `vit_base_patch16_224`.
        spatial_dims: 2, since timm's are for images.
    """

    def __init__(
        self,
        *,
        in_channels: int = 1,
        architecture: str = "resnet50_gn",
        spatial_dims: int = 2,
    ) -> None:
        super().__init__()
        check_dims("Timm", spatial_dims)
        if spatial_dims != 2:
            msg = (
                f"Timm has networks for images, got spatial_dims {spatial_dims}; take slices "
                "(crop_vox of two numbers), or an encoder of volumes such as res_unet"
            )
            raise ValueError(msg)
        if not timm.is_model(architecture):
            close = get_close_matches(architecture, timm.list_models())
            msg = f"timm has no architecture {architecture!r}; expected one such as {close}"
            raise ConfigError(msg)
        self.spatial_dims, self.architecture = spatial_dims, architecture
        self.network = _made(architecture, in_channels)
        self.channels = tuple(self.network.feature_info.channels())
        self.strides = tuple(self.network.feature_info.reduction())
        if list(self.strides) != sorted(set(self.strides)):
            msg = f"Timm needs maps that get coarser, those of {architecture} have {self.strides}"
            raise ConfigError(msg)

    def forward(self, image: Float[Tensor, "batch channel *spatial"]) -> tuple[Tensor, ...]:
        """Return its feature maps, fine to coarse; lengths round up."""
        maps: list[Tensor] = self.network(image)
        if self.network.output_fmt == "NHWC":
            return tuple(feature.movedim(-1, 1) for feature in maps)
        return tuple(maps)


def _made(architecture: str, in_channels: int) -> Any:
    """Return the network that gives maps; transformers for images of any size."""
    if timm.models.is_model_in_modules(architecture, ["vision_transformer"]):
        return timm.create_model(
            architecture,
            features_only=True,
            in_chans=in_channels,
            out_indices=(-1,),  # all are of one size
            dynamic_img_size=True,
            dynamic_img_pad=True,
        )
    return timm.create_model(architecture, features_only=True, in_chans=in_channels)
