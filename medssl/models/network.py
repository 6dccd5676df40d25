"""A dense network: an encoder, a decoder and a head as one map from images to logits."""

from collections.abc import Callable
from typing import cast

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from medssl.models.decoders import Decoder
from medssl.models.encoders import Encoder

LINEAR = {2: "bilinear", 3: "trilinear"}


class DenseNetwork(nn.Module):
    """Logits for each voxel of an image.

    Args:
        encoder: Gives feature maps, fine to coarse.
        decoder: Made for that encoder; its last map is the finest.
        head: Reads logits off that map.
    """

    def __init__(
        self, encoder: Encoder, decoder: Decoder, head: Callable[[Tensor], Tensor]
    ) -> None:
        super().__init__()
        self.encoder, self.decoder, self.head = encoder, decoder, head

    @property
    def parts(self) -> dict[str, nn.Module]:
        """The parts by the names under which exports keep them."""
        found = {"encoder": self.encoder, "decoder": self.decoder, "head": self.head}
        return cast(dict[str, nn.Module], found)

    def forward(
        self, image: Float[Tensor, "batch channel *spatial"]
    ) -> Float[Tensor, "batch class *spatial"]:
        """Return logits at the image's resolution.

        They are interpolated linearly where the finest map is coarser than the image.
        """
        logits = self.head(self.decoder(self.encoder(image))[-1])
        if logits.shape[2:] == image.shape[2:]:
            return logits
        size, mode = image.shape[2:], LINEAR[image.ndim - 2]
        return functional.interpolate(logits, size=size, mode=mode, align_corners=False)
