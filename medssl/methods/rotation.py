"""Rotation: by how many right angles was the image turned?

Source: Gidaris, Singh, Komodakis, "Unsupervised Representation Learning by Predicting Image
Rotations", ICLR 2018, arXiv:1803.07728, Eqs. 1 to 3.
Departs from the paper: volumes are turned in their plane of i and j.
"""

from typing import NamedTuple, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from medssl.data.views import Views
from medssl.models.encoders import Encoder
from medssl.objectives import ClassObjective, Loss

__all__ = ["Rotation"]

TURNS = 4


class Features(NamedTuple):
    """Logits of the four turns, of an item in each of them."""

    logits: Float[Tensor, "turn item class"]


class Rotation(nn.Module):
    """An encoder and a linear map of the mean of its coarsest map, under a class objective.

    Ranks compute the loss of their own items and DDP averages the gradients.

    Args:
        encoder: The backbone that pretraining is for.
        objective: Compares logits with turns.
    """

    def __init__(self, encoder: Encoder, *, objective: ClassObjective) -> None:
        super().__init__()
        self.encoder, self.objective = encoder, objective
        self.classifier = nn.Linear(encoder.channels[-1], TURNS)

    def embed(self, views: Views) -> Features:
        """Turn the last view of each item in each way, and guess in which."""
        images = views.images[-1]
        if images.shape[2] != images.shape[3]:
            msg = (
                f"Rotation turns views in their plane, which needs sides of one length, got "
                f"{tuple(images.shape[2:])}; cut square crops"
            )
            raise ValueError(msg)
        turned = torch.cat([images.rot90(turn, dims=(2, 3)) for turn in range(TURNS)])
        pooled = self.encoder(turned)[-1].flatten(2).mean(2)
        return Features(self.classifier(pooled).unflatten(0, (TURNS, len(images))))

    def compare(self, features: Features) -> Loss:
        """Hand the objective the logits, and the turns they are of."""
        turn = torch.arange(TURNS, device=features.logits.device)
        target = turn.repeat_interleave(features.logits.shape[1])
        return self.objective(logits=features.logits.flatten(0, 1), target=target)

    def forward(self, views: Views) -> Loss:
        """Return the loss of one batch of views."""
        return self.compare(self.embed(views))

    def after_step(self, progress: float) -> None:
        """Do nothing: the optimizer moves all there is."""

    def exports(self) -> dict[str, nn.Module]:
        """Return the encoder; the classifier is thrown away."""
        return {"encoder": cast(nn.Module, self.encoder)}
