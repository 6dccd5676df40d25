"""Restoration: the first view, which nothing changed, is to come of the last, which something did.

With `cut_out` among the views it is inpainting, with `swap_patches` context restoration.

Source: Pathak et al., "Context Encoders: Feature Learning by Inpainting", CVPR 2016,
arXiv:1604.07379; Chen et al., "Self-supervised learning for medical image analysis using image
context restoration", Medical Image Analysis 58, 2019.
Departs from the papers: a U-Net with its skips restores, as it will segment; no adversarial loss.
"""

from typing import NamedTuple, cast

from jaxtyping import Float
from torch import Tensor, nn

from medssl.data.views import Views
from medssl.heads.segmentation import SegmentationHead
from medssl.methods import taken
from medssl.models.decoders import Decoder
from medssl.models.encoders import Encoder
from medssl.models.network import DenseNetwork
from medssl.objectives import Loss, RestorationObjective

__all__ = ["Restoration"]


class Features(NamedTuple):
    """What was restored, of what it was, from what."""

    restored: Float[Tensor, "item channel *spatial"]
    original: Float[Tensor, "item channel *spatial"]
    changed: Float[Tensor, "item channel *spatial"]


class Restoration(nn.Module):
    """A dense network from changed images to the images.

    Ranks compute the loss of their own items and DDP averages the gradients.

    Args:
        encoder: The backbone.
        decoder: Made for the encoder.
        objective: Compares what was restored with what it was.
        channels: Of an image.
    """

    def __init__(
        self,
        encoder: Encoder,
        decoder: Decoder,
        *,
        objective: RestorationObjective,
        channels: int = 1,
    ) -> None:
        super().__init__()
        self.encoder, self.decoder, self.objective = encoder, decoder, objective
        self.reading = SegmentationHead(decoder.channels[-1], channels, encoder.spatial_dims)
        self.takes = taken(objective)

    def embed(self, views: Views) -> Features:
        """Restore the first view of each item from its last."""
        if len(views.images) < 2:
            msg = f"Restoration needs 2 views of each item, got {len(views.images)}"
            raise ValueError(msg)
        original, changed = views.images[0], views.images[-1]
        network = DenseNetwork(self.encoder, self.decoder, self.reading)
        return Features(network(changed), original, changed)

    def compare(self, features: Features) -> Loss:
        """Hand the objective what it takes."""
        return self.objective(**{name: getattr(features, name) for name in self.takes})

    def forward(self, views: Views) -> Loss:
        """Return the loss of one batch of views."""
        return self.compare(self.embed(views))

    def after_step(self, progress: float) -> None:
        """Do nothing: the optimizer moves all there is."""

    def exports(self) -> dict[str, nn.Module]:
        """Return encoder and decoder; what reads voxels off the last map is thrown away."""
        parts = {"encoder": self.encoder, "decoder": self.decoder}
        return {name: cast(nn.Module, part) for name, part in parts.items()}
