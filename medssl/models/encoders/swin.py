"""Swin transformer, the encoding half of SwinUNETR: attention within windows that shift.

Source: Hatamizadeh et al., "Swin UNETR: Swin Transformers for Semantic Segmentation of Brain
Tumors in MRI Images", BrainLes 2021, arXiv:2201.01266, by way of MONAI's SwinTransformer.
Departs from the paper: the convolutions that SwinUNETR puts on each map, and its map at full
resolution, are the decoder's matter: a network's logits are interpolated to full resolution.
"""

from jaxtyping import Float
from monai.networks.nets.swin_unetr import SwinTransformer
from torch import Tensor, nn
from torch.nn import functional

from medssl.models.encoders._blocks import check_dims

__all__ = ["Swin"]

PATCH_VOX = 2


class Swin(nn.Module):
    """Patches of two voxels an axis, then stages, each of which halves the map after it.

    Args:
        in_channels: Channels of the image.
        width: Channels of the first map; each further one has twice as many.
        depths: Transformer blocks of each stage; the paper's four have two each.
        heads: Attention heads of each stage.
        window_vox: Side of a window, in steps of the map.
        spatial_dims: 2 for images, 3 for volumes.
    """

    def __init__(
        self,
        *,
        in_channels: int = 1,
        width: int = 24,
        depths: tuple[int, ...] = (2, 2),
        heads: tuple[int, ...] = (3, 6),
        window_vox: int = 7,
        spatial_dims: int = 3,
    ) -> None:
        super().__init__()
        check_dims("Swin", spatial_dims)
        if not 1 <= len(depths) <= 4 or len(heads) != len(depths):
            msg = f"Swin has 1 to 4 stages with depths and heads each, got {depths} and {heads}"
            raise ValueError(msg)
        if odd := [h for level, h in enumerate(heads) if h < 1 or (width * 2**level) % h]:
            msg = f"Swin needs heads that divide {width}, doubled a stage, got {odd} of {heads}"
            raise ValueError(msg)
        self.spatial_dims = spatial_dims
        self.channels = tuple(width * 2**level for level in range(len(depths) + 1))
        self.strides = tuple(PATCH_VOX * 2**level for level in range(len(depths) + 1))
        whole = SwinTransformer(
            in_chans=in_channels,
            embed_dim=width,
            window_size=(window_vox,) * spatial_dims,
            patch_size=(PATCH_VOX,) * spatial_dims,
            depths=depths,
            num_heads=heads,
            spatial_dims=spatial_dims,
            downsample="mergingv2",
        )
        stages = (whole.layers1, whole.layers2, whole.layers3, whole.layers4)
        self.patches = whole.patch_embed
        self.stages = nn.ModuleList(stage[0] for stage in stages[: len(depths)])

    def forward(self, image: Float[Tensor, "batch channel *spatial"]) -> tuple[Tensor, ...]:
        """Return a feature map a level, each voxel's channels normalized; lengths round up."""
        feature = self.patches(image)
        maps = [feature]
        for stage in self.stages:
            feature = stage(feature.contiguous())
            maps.append(feature)
        return tuple(map(_normalized, maps))


def _normalized(feature: Float[Tensor, "batch channel *spatial"]) -> Tensor:
    last = feature.movedim(1, -1)
    return functional.layer_norm(last, last.shape[-1:]).movedim(-1, 1)
