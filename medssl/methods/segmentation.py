"""Segmentation: the logits of each voxel meet its label.

Serves every objective that takes `logits` and `label`.
"""

from typing import NamedTuple

from jaxtyping import Float, Int
from torch import Tensor, nn

from medssl.data.views import LabeledViews
from medssl.models.network import DenseNetwork
from medssl.objectives import Loss, SegmentationObjective

__all__ = ["Segmentation"]


class Features(NamedTuple):
    """Logits of the crops of a batch, with their labels, and those of crops blended in."""

    logits: Float[Tensor, "item class *spatial"]
    label: Int[Tensor, "item *spatial"]
    blended_label: Int[Tensor, "item *spatial"] | None = None
    share: float = 1.0


class Segmentation(nn.Module):
    """A dense network under a supervised objective.

    Ranks compute the loss of their own crops and DDP averages the gradients: voxels of one
    crop are not compared with those of another, so nothing is gathered.

    Args:
        network: From images to logits.
        objective: Compares logits with labels.
    """

    def __init__(self, network: DenseNetwork, *, objective: SegmentationObjective) -> None:
        super().__init__()
        self.network = network
        self.objective = objective

    def embed(self, views: LabeledViews) -> Features:
        """Run the network on the crops."""
        return Features(self.network(views.image), views.label, views.blended_label, views.share)

    def compare(self, features: Features) -> Loss:
        """Hand the objective logits and labels; blend its losses of both as images were."""
        own = self.objective(logits=features.logits, label=features.label)
        if features.blended_label is None:
            return own
        other = self.objective(logits=features.logits, label=features.blended_label)
        share = features.share
        return Loss(
            {
                name: share * term + (1 - share) * other.terms[name]
                for name, term in own.terms.items()
            }
        )

    def forward(self, views: LabeledViews) -> Loss:
        """Return the loss of one batch of labelled crops."""
        return self.compare(self.embed(views))

    def after_step(self, progress: float) -> None:
        """Do nothing: the optimizer moves all there is."""

    def exports(self) -> dict[str, nn.Module]:
        """Return encoder, decoder and head."""
        return self.network.parts
