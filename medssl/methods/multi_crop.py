"""Multi-crop embedding: every crop of a case is compared with the case's global crops.

Source: Caron et al., "Unsupervised learning of visual features by contrasting cluster
assignments" (SwAV), NeurIPS 2020, arXiv:2006.09882, section 3.2 and equation 6.
Departs from the paper: any `PairObjective` compares; as they are symmetric, two global crops are
one pair, not two.
"""

from itertools import combinations
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from medssl.data.views import MultiViews
from medssl.distributed import gather
from medssl.methods.joint_embedding import JointEmbedding
from medssl.models.encoders import Encoder
from medssl.objectives import Loss, PairObjective

__all__ = ["MultiCrop"]


class Features(NamedTuple):
    """The projections of the crops of each item, and the items' subjects."""

    z_global: Float[Tensor, "item view dim"]
    z_local: Float[Tensor, "item view dim"]
    group: Int[Tensor, "item"]


class MultiCrop(nn.Module):
    """A shared encoder and projector under a pair objective, averaged over the pairs of crops.

    Args:
        encoder: The backbone that pretraining is for; it takes crops of both sizes.
        objective: Compares the projections of two crops.
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
        self.pair = JointEmbedding(
            encoder, objective=objective, hidden_dim=hidden_dim, projection_dim=projection_dim
        )

    @property
    def encoder(self) -> Encoder:
        """The backbone."""
        return self.pair.encoder

    def embed(self, views: MultiViews) -> Features:
        """Project the mean of the coarsest feature map of each crop."""
        large, small = (self.pair.project(kind.images).transpose(0, 1) for kind in views)
        return Features(large, small, views.global_views.subject)

    def compare(self, features: Features) -> Loss:
        """Average the objective over all pairs with a global crop, of all ranks' items."""
        large, small, group = map(gather, features)
        z = [*large.unbind(1), *small.unbind(1)]
        pairs = [pair for pair in combinations(range(len(z)), 2) if pair[0] < large.shape[1]]
        losses = [self._of_pair(z[a], z[b], group).terms for a, b in pairs]
        means = {name: torch.stack([terms[name] for terms in losses]).mean() for name in losses[0]}
        return Loss(means)

    def _of_pair(
        self,
        z_a: Float[Tensor, "item dim"],
        z_b: Float[Tensor, "item dim"],
        group: Int[Tensor, "item"],
    ) -> Loss:
        offered = {"z_a": z_a, "z_b": z_b, "group": group}
        return self.pair.objective(**{name: offered[name] for name in self.pair.takes})

    def forward(self, views: MultiViews) -> Loss:
        """Return the loss of one batch of crops."""
        return self.compare(self.embed(views))

    def after_step(self, progress: float) -> None:
        """Do nothing: the optimizer moves all there is."""

    def exports(self) -> dict[str, nn.Module]:
        """Return what a pair exports."""
        return self.pair.exports()
