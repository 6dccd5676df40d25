"""Codes: short vectors on top of an encoder, and the projections that an objective compares.

Source: Louiset et al., "Separating common from salient patterns with Contrastive Representation
Learning", ICLR 2024, arXiv:2402.11928.
Departs from the paper: the projector normalizes each item alone.
"""

from jaxtyping import Float
from torch import Tensor, nn

from medssl.models.projectors import mlp


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
