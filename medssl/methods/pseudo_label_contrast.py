"""Pseudo-label contrast: labels teach logits, labels and pseudo-labels an embedding beside them.

Both at once, without a pretraining before it; `pseudo_label` draws the pseudo-labels, and draws
them anew of what this method has trained, as often as a study says.

Source: Chaitanya, Erdil, Karani, Konukoglu, "Local contrastive loss with pseudo-label based
self-training for semi-supervised medical image segmentation", Medical Image Analysis 87, 2023,
arXiv:2112.09645.
Departs from the paper: pseudo-labels are not refined by a conditional random field; the projector
normalizes each item alone instead of over the batch.
"""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from medssl.data.views import LabeledViews
from medssl.models.network import DenseNetwork
from medssl.models.projectors import LocalProjector
from medssl.objectives import DenseObjective, Loss, SegmentationObjective

__all__ = ["PseudoLabelContrast"]


class Features(NamedTuple):
    """Logits and embeddings of voxels, their labels, and which of these a network drew."""

    logits: Float[Tensor, "item class *spatial"]
    dense: Float[Tensor, "item dim *map"]
    label: Int[Tensor, "item *spatial"]
    is_pseudo: Bool[Tensor, "item"]


class PseudoLabelContrast(nn.Module):
    """A dense network whose last map has two readers: its head, and a projector for the contrast.

    Args:
        network: From images to logits; its finest map is as large as the image.
        objective: Compares logits with the labels that people drew.
        dense_objective: Compares embeddings of voxels by all labels.
        weight: Of the contrast.
    """

    def __init__(
        self,
        network: DenseNetwork,
        *,
        objective: SegmentationObjective,
        dense_objective: DenseObjective,
        weight: float = 0.1,
    ) -> None:
        super().__init__()
        if network.decoder.strides[-1] != 1:
            msg = (
                "PseudoLabelContrast needs a decoder whose last map is as large as the image, got "
                f"one of stride {network.decoder.strides[-1]}; take an encoder that begins at "
                "stride 1"
            )
            raise ValueError(msg)
        if weight <= 0:
            msg = f"weight must be positive, got {weight}"
            raise ValueError(msg)
        self.network, self.weight = network, weight
        self.objective, self.dense_objective = objective, dense_objective
        channels, dims = network.decoder.channels[-1], network.decoder.spatial_dims
        # of each voxel by itself: no windows are joined
        self.projector = LocalProjector(channels, dims, window_vox=1, out_dim=channels).layers

    def embed(self, views: LabeledViews) -> Features:
        """Run the network on the crops, and read its last map twice."""
        finest = self.network.decoder(self.network.encoder(views.image))[-1]
        return Features(
            self.network.head(finest), self.projector(finest), views.label, views.is_pseudo
        )

    def compare(self, features: Features) -> Loss:
        """Hand the objective what people labeled, the dense objective everything."""
        device = features.logits.device
        # which these are is known on the CPU, so that nothing waits for the device
        pseudo = features.is_pseudo.tolist()
        rows = torch.tensor([row for row, is_so in enumerate(pseudo) if not is_so], device=device)
        classes = torch.arange(1, features.logits.shape[1], device=device)
        is_of = features.label[:, None] == classes.view(-1, *(1,) * (features.label.ndim - 1))
        contrast = self.dense_objective(dense=features.dense, is_of=is_of)
        terms = {f"contrast/{name}": self.weight * term for name, term in contrast.terms.items()}
        if len(rows):
            taught = self.objective(logits=features.logits[rows], label=features.label[rows])
            return Loss(taught.terms | terms)
        return Loss({"none_labeled": 0 * features.logits.float().sum()} | terms)

    def forward(self, views: LabeledViews) -> Loss:
        """Return the loss of one batch of labeled and pseudo-labeled crops."""
        return self.compare(self.embed(views))

    def after_step(self, progress: float) -> None:
        """Do nothing: the optimizer moves all there is."""

    def exports(self) -> dict[str, nn.Module]:
        """Return encoder, decoder and head; the projector is thrown away."""
        return self.network.parts
