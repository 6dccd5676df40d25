"""Codes: short vectors on top of encoders, the projections that an objective compares, and both.

Source: Louiset et al., "Separating common from salient patterns with Contrastive Representation
Learning", ICLR 2024, arXiv:2402.11928.
Departs from the paper: the projector normalizes each item alone.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from medssl.models.encoders import Encoder
from medssl.models.projectors import mlp

SPACES = ("common", "common_projection", "salient", "salient_projection")


class Code(nn.Module):
    """A linear code of a pooled map, and its projection.

    Args:
        channels: Of the map.
        dim: Numbers of the code, and of its projection.
        hidden_dim: Width of the projector's hidden layer.
    """

    def __init__(self, channels: int, dim: int, hidden_dim: int) -> None:
        super().__init__()
        self.code = nn.Linear(channels, dim)
        self.projector = mlp(dim, hidden_dim, dim)

    def forward(self, pooled: Float[Tensor, "item channel"]) -> Float[Tensor, "item dim"]:
        """Return the code."""
        return self.code(pooled)

    def project(self, pooled: Float[Tensor, "item channel"]) -> Float[Tensor, "item dim"]:
        """Return the code's projection."""
        return self.projector(self.code(pooled))


class Codes(nn.Module):
    """Both codes of an image and their projections, side by side; stands where an encoder does.

    Attributes:
        columns: What each number is: its space and its place there, as `salient.0`.

    Args:
        encoder: That of the common code.
        common: The code on top of it.
        salient: The other code.
        salient_encoder: That of the salient code; the same one without.
        constant: The background's salient projection, along each axis.
    """

    def __init__(
        self,
        encoder: Encoder,
        common: Code,
        salient: Code,
        salient_encoder: Encoder | None = None,
        *,
        constant: float = 0.0,
    ) -> None:
        super().__init__()
        self.encoder, self.common, self.salient = encoder, common, salient
        self.own_encoder, self.constant = salient_encoder, constant
        self.spatial_dims, self.strides = encoder.spatial_dims, encoder.strides
        dims = [code.code.out_features for code in (common, common, salient, salient)]
        self.columns = tuple(
            f"{space}.{place}"
            for space, dim in zip(SPACES, dims, strict=True)
            for place in range(dim)
        )
        self.channels = (len(self.columns),)

    def forward(self, image: Float[Tensor, "batch channel *spatial"]) -> tuple[Tensor, ...]:
        """Return one map of one place, whose channels are the columns."""
        vectors = [
            made(of)
            for code, of in zip((self.common, self.salient), self.pooled(image), strict=True)
            for made in (code, code.project)
        ]
        joined = torch.cat(vectors, dim=1)
        return (joined.unflatten(1, (-1, *(1,) * self.spatial_dims)),)

    def project(
        self, image: Float[Tensor, "batch channel *spatial"]
    ) -> tuple[Float[Tensor, "batch common"], Float[Tensor, "batch salient"]]:
        """Return the projections of both codes."""
        pooled, own = self.pooled(image)
        return self.common.project(pooled), self.salient.project(own)

    def pooled(
        self, image: Float[Tensor, "batch channel *spatial"]
    ) -> tuple[Float[Tensor, "batch width"], Float[Tensor, "batch width"]]:
        """Return what the common and what the salient code is made of."""
        pooled = _pooled(self.encoder, image)
        return pooled, pooled if self.own_encoder is None else _pooled(self.own_encoder, image)

    def salience(self, image: Float[Tensor, "batch channel *spatial"]) -> Float[Tensor, "batch"]:
        """Return how far each image's salient projection is from the background's."""
        own = self.encoder if self.own_encoder is None else self.own_encoder
        return (self.salient.project(_pooled(own, image)) - self.constant).norm(dim=1)


def _pooled(
    encoder: Encoder, image: Float[Tensor, "batch channel *spatial"]
) -> Float[Tensor, "batch code"]:
    return encoder(image)[-1].flatten(2).mean(2)
