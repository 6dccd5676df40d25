"""Joint embedding: one encoder and projector see two views, an objective compares them.

Serves SimCLR, VICReg, Barlow Twins and every other `PairObjective`.
"""

from typing import NamedTuple, cast

from jaxtyping import Float, Int
from torch import Tensor, nn

from medssl.data.views import Views
from medssl.distributed import gather
from medssl.methods import taken
from medssl.models.encoders import Encoder
from medssl.models.projectors import mlp
from medssl.objectives import Loss, PairObjective

__all__ = ["JointEmbedding"]


class Features(NamedTuple):
    """The projections of two views of each item, row by row, and the items' subjects."""

    z_a: Float[Tensor, "batch dim"]
    z_b: Float[Tensor, "batch dim"]
    group: Int[Tensor, "batch"]


class JointEmbedding(nn.Module):
    """A shared encoder and projector under a pair objective.

    Args:
        encoder: The backbone that pretraining is for.
        objective: Compares the two views' projections.
        hidden_dim: Width of the projector's hidden layer.
        projection_dim: Length of a projection.
    """

    def __init__(
        self,
        encoder: Encoder,
        *,
        objective: PairObjective,
        hidden_dim: int = 64,
        projection_dim: int = 32,
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.objective = objective
        self.projector = mlp(encoder.channels[-1], hidden_dim, projection_dim)
        self.takes = taken(objective)

    def embed(self, views: Views) -> Features:
        """Project the mean of the coarsest feature map of the first two views."""
        pair = views.images[:2]
        if len(pair) < 2:
            msg = f"JointEmbedding compares 2 views of each item, got {len(pair)}"
            raise ValueError(msg)
        z_a, z_b = self.project(pair)
        return Features(z_a, z_b, views.subject)

    def project(
        self, images: Float[Tensor, "view item channel *spatial"]
    ) -> Float[Tensor, "view item dim"]:
        """Project the mean of the coarsest feature map of each view, from one pass."""
        maps = self.encoder(images.flatten(0, 1))
        return self.projector(maps[-1].flatten(2).mean(2)).unflatten(0, images.shape[:2])

    def compare(self, features: Features) -> Loss:
        """Hand the objective what it takes of all ranks' features."""
        gathered = {name: gather(getattr(features, name)) for name in self.takes}
        return self.objective(**gathered)

    def forward(self, views: Views) -> Loss:
        """Return the loss of one batch of view pairs."""
        return self.compare(self.embed(views))

    def after_step(self, progress: float) -> None:
        """Do nothing: the optimizer moves all there is."""

    def exports(self) -> dict[str, nn.Module]:
        """Return the encoder; the projector is thrown away."""
        return {"encoder": cast(nn.Module, self.encoder)}
