"""Supervised embedding: one encoder and projector see two views, compared by the items' groups.

Serves every `LabeledPairObjective`; with `supervised_contrast` it is SupCon's first stage.

Source: Khosla, Teterwak, Wang, Sarna, Tian, Isola, Maschinot, Liu, Krishnan, "Supervised
Contrastive Learning", NeurIPS 2020, arXiv:2004.11362, Section 3.1.
Departs from the paper: there are two labels, target and background; what the encoder gives is not
normalized before the projector, which normalizes its hidden layer, item by item.
"""

from typing import NamedTuple, cast

from jaxtyping import Bool, Float
from torch import Tensor, nn

from medssl.data.views import GroupedViews
from medssl.distributed import gather
from medssl.methods import taken
from medssl.models.encoders import Encoder
from medssl.models.projectors import mlp
from medssl.objectives import LabeledPairObjective, Loss

__all__ = ["SupervisedEmbedding"]


class Features(NamedTuple):
    """The projections of two views of each item, row by row, and which items are targets."""

    z_a: Float[Tensor, "item dim"]
    z_b: Float[Tensor, "item dim"]
    label: Bool[Tensor, "item"]


class SupervisedEmbedding(nn.Module):
    """A shared encoder and projector under an objective on pairs and labels.

    Args:
        encoder: The backbone that pretraining is for.
        objective: Compares the two views' projections by whether their items are targets.
        hidden_dim: Width of the projector's hidden layer.
        projection_dim: Length of a projection.
    """

    def __init__(
        self,
        encoder: Encoder,
        *,
        objective: LabeledPairObjective,
        hidden_dim: int = 64,
        projection_dim: int = 32,
    ) -> None:
        super().__init__()
        self.encoder, self.objective = encoder, objective
        self.projector = mlp(encoder.channels[-1], hidden_dim, projection_dim)
        self.takes = taken(objective)

    def embed(self, views: GroupedViews) -> Features:
        """Project the mean of the coarsest feature map of the first two views."""
        images = views.views.images[:2]
        if len(images) < 2:
            msg = f"SupervisedEmbedding compares 2 views of each item, got {len(images)}"
            raise ValueError(msg)
        coarsest = self.encoder(images.flatten(0, 1))[-1]
        z_a, z_b = self.projector(coarsest.flatten(2).mean(2)).chunk(2)
        return Features(z_a, z_b, views.is_target)

    def compare(self, features: Features) -> Loss:
        """Hand the objective what it takes of all ranks' features."""
        gathered = {name: gather(getattr(features, name)) for name in self.takes}
        return self.objective(**gathered)

    def forward(self, views: GroupedViews) -> Loss:
        """Return the loss of one batch of view pairs."""
        return self.compare(self.embed(views))

    def after_step(self, progress: float) -> None:
        """Do nothing: the optimizer moves all there is."""

    def exports(self) -> dict[str, nn.Module]:
        """Return the encoder; the projector is thrown away."""
        return {"encoder": cast(nn.Module, self.encoder)}
