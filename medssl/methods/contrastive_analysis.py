"""Contrastive analysis: a common and a salient code of each item, of targets and of a background.

Serves every `SeparationObjective`; with `sep_clr` it is SepCLR.

Source: Louiset, Duchesnay, Grigis, Gori, "Separating common from salient patterns with Contrastive
Representation Learning", ICLR 2024, arXiv:2402.11928.
Code: neurospin-projects/2024_rlouiset_sep_clr@0e40bff.
Departs from the paper: both encoders start from the same weights, as the authors' do where these
come from ImageNet; projectors have no batch statistics; codes of earlier batches may be kept, for
batches of volumes are small, and then the second view is encoded by a slowly moving copy, as in He,
Fan, Wu, Xie, Girshick, "Momentum Contrast for Unsupervised Visual Representation Learning", CVPR
2020, arXiv:1911.05722 (without it all codes flee the queue together, instead of each other); a
shared encoder under two codes is an option, and not the paper's.
"""

import copy
from typing import Literal, NamedTuple, cast

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional

from medssl.data.views import GroupedViews
from medssl.distributed import gather
from medssl.methods import taken
from medssl.models.codes import Code, Codes
from medssl.models.encoders import Encoder
from medssl.objectives import Loss, SeparationObjective

__all__ = ["ContrastiveAnalysis"]


class Features(NamedTuple):
    """Projections of both codes in two views of each item, and what is known of the items."""

    common_a: Float[Tensor, "item common"]
    common_b: Float[Tensor, "item common"]
    salient_a: Float[Tensor, "item salient"]
    salient_b: Float[Tensor, "item salient"]
    is_target: Bool[Tensor, "item"]
    attributes: Float[Tensor, "item attribute"]
    is_categorical: Bool[Tensor, "item attribute"]


class ContrastiveAnalysis(nn.Module):
    """Two encoders, or one, and a code on top of each.

    Args:
        encoder: That of the common code, which diagnostics look at.
        objective: Compares the codes.
        trunk: Whether the salient code has an encoder of its own (`separate`, the paper's), or
            both are made of one (`shared`), which halves memory and ties their balance.
        common_dim: Numbers of the common code.
        salient_dim: Numbers of the salient one.
        hidden_dim: Width of the projectors' hidden layer.
        queue: How many items of earlier batches the items are kept apart from, too; if it is no
            multiple of the batch size, which of the oldest go first depends on their order.
        momentum: Of the copy that encodes the second view and the queue's items, where there is a
            queue: how much of it stays as it was in a step.
    """

    past_common: Tensor
    past_salient: Tensor

    def __init__(
        self,
        encoder: Encoder,
        *,
        objective: SeparationObjective,
        trunk: Literal["separate", "shared"] = "separate",
        common_dim: int = 32,
        salient_dim: int = 32,
        hidden_dim: int = 128,
        queue: int = 0,
        momentum: float = 0.99,
    ) -> None:
        super().__init__()
        if queue < 0:
            msg = f"queue must be 0 or more items, got {queue}"
            raise ValueError(msg)
        if not 0 <= momentum < 1:
            msg = f"momentum must be in [0, 1), got {momentum}"
            raise ValueError(msg)
        own = copy.deepcopy(cast(nn.Module, encoder)) if trunk == "separate" else None
        channels = encoder.channels[-1]
        self.student = Codes(
            encoder,
            Code(channels, common_dim, hidden_dim),
            Code(channels, salient_dim, hidden_dim),
            cast(Encoder | None, own),
            constant=objective.constant,
        )
        self.teacher: Codes | None = None
        if queue:
            self.teacher = copy.deepcopy(self.student).requires_grad_(requires_grad=False)
        self.objective, self.momentum, self.takes = objective, momentum, taken(objective)
        # Rows of nan are nobody's, until there have been enough items.
        self.register_buffer("past_common", torch.full((queue, common_dim), torch.nan))
        self.register_buffer("past_salient", torch.full((queue, salient_dim), torch.nan))
        self._latest: tuple[Tensor, Tensor] | None = None

    @property
    def encoder(self) -> Encoder:
        """The encoder that the common code is made of."""
        return self.student.encoder

    def embed(self, views: GroupedViews) -> Features:
        """Encode the first two views of each item, the second by the teacher if there is one."""
        images = views.views.images[:2]
        if len(images) < 2:
            msg = f"ContrastiveAnalysis compares 2 views of each item, got {len(images)}"
            raise ValueError(msg)
        if self.teacher is None:
            both = [code.chunk(2) for code in self.student.project(images.flatten(0, 1))]
            (common_a, common_b), (salient_a, salient_b) = both
        else:
            common_a, salient_a = self.student.project(images[0])
            with torch.no_grad():
                common_b, salient_b = self.teacher.project(images[1])
        codes = common_a, common_b, salient_a, salient_b
        kinds = views.is_categorical.expand_as(views.attributes)
        return Features(*codes, views.is_target, views.attributes, kinds)

    def compare(self, features: Features) -> Loss:
        """Hand the objective what it takes of all ranks' features, and of earlier ones."""
        gathered = Features(*map(gather, features))
        offered = gathered._asdict() | {
            "is_categorical": gathered.is_categorical[0],
            "past_common": self.past_common,
            "past_salient": self.past_salient,
        }
        if self.teacher is not None:
            self._latest = self.kept(gathered)
        return self.objective(**{name: offered[name] for name in self.takes})

    def kept(self, features: Features) -> tuple[Tensor, Tensor]:
        """Return the codes that later batches are kept apart from, the background's silenced."""
        common = functional.normalize(features.common_b.float(), dim=1)
        silent = ~features.is_target[:, None]
        return common, features.salient_b.float().masked_fill(silent, self.objective.constant)

    def forward(self, views: GroupedViews) -> Loss:
        """Return the loss of one batch of view pairs."""
        return self.compare(self.embed(views))

    def after_step(self, progress: float) -> None:
        """Let the step's items take the place of the oldest, and the teacher follow the student."""
        if self.teacher is None or self._latest is None:
            return
        for past, new in zip((self.past_common, self.past_salient), self._latest, strict=True):
            past.copy_(torch.cat([new, past])[: len(past)])
        with torch.no_grad():
            pairs = zip(self.teacher.parameters(), self.student.parameters(), strict=True)
            for slow, fast in pairs:
                slow.lerp_(fast, 1 - self.momentum)

    def codes(self) -> Codes:
        """Return both codes as one network of images."""
        return self.student

    def exports(self) -> dict[str, nn.Module]:
        """Return the codes and their encoders; a shared one is there once."""
        own = self.student.own_encoder
        return {
            "encoder": cast(nn.Module, self.encoder),
            **({} if own is None else {"salient_encoder": cast(nn.Module, own)}),
            "common_code": self.student.common,
            "salient_code": self.student.salient,
        }
