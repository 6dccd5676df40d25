"""SepCLR: what a target group shares with a background group, apart from what only it has.

Each item has two codes: a common one, for what both groups vary in, and a salient one, which is to
be a constant in the background. Views of an item are brought together and items kept apart in
either; the two codes are kept from telling of each other by raising their joint entropy.

Source: Louiset, Duchesnay, Grigis, Gori, "Separating common from salient patterns with Contrastive
Representation Learning", ICLR 2024, arXiv:2402.11928.
Code: neurospin-projects/2024_rlouiset_sep_clr@0e40bff.
Departs from the paper: the kernel is computed by its logarithm; codes of earlier batches may count
among those that an item is kept apart from, since batches of volumes are small.
"""

from collections.abc import Callable

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional

from medssl.objectives import Loss, full_precision
from medssl.objectives._kernel_density import (
    alignment,
    log_kernel,
    negative_entropy,
    shared_information,
    uniformity,
)

__all__ = ["SepCLR"]

TAU = 0.5


class SepCLR(nn.Module):
    """Alignment and uniformity of both codes, a silent background, and a large joint entropy.

    Args:
        salient: Weight of alignment and uniformity of the salient code.
        background: Weight of what holds the background's salient code at its constant.
        joint_entropy: Weight of the joint entropy; 0 leaves it out.
        uniform: Weight of uniformity beside alignment, in either code.
        constant: The background's salient code, along each axis.
    """

    def __init__(
        self,
        *,
        salient: float = 1.0,
        background: float = 10.0,
        joint_entropy: float = 10.0,
        uniform: float = 2.0,
        constant: float = 0.0,
    ) -> None:
        super().__init__()
        weights = salient, background, joint_entropy, uniform
        if min(weights) < 0:
            msg = f"SepCLR's weights must not be negative, got {weights}"
            raise ValueError(msg)
        self.salient, self.background, self.joint_entropy, self.uniform = weights
        self.constant = constant

    @full_precision
    def forward(
        self,
        common_a: Float[Tensor, "item common"],
        common_b: Float[Tensor, "item common"],
        salient_a: Float[Tensor, "item salient"],
        salient_b: Float[Tensor, "item salient"],
        is_target: Bool[Tensor, "item"],
        past_common: Float[Tensor, "past common"],
        past_salient: Float[Tensor, "past salient"],
    ) -> Loss:
        """Compare two views' codes of items of both groups.

        Args:
            common_a: Of the first view; normalized here.
            common_b: Of the second.
            salient_a: Of the first view; not normalized.
            salient_b: Of the second.
            is_target: Which items are of the target group.
            past_common: Codes of earlier batches, normalized, without gradient; rows of nan are
                nobody's.
            past_salient: The same items', the background's at the constant.

        Terms of a group that is missing are 0.
        """
        common = [functional.normalize(each, dim=1) for each in (common_a, common_b)]
        silenced = [self.silenced(each, is_target) for each in (salient_a, salient_b)]
        log_c = [log_kernel(c, torch.cat([c, past_common]), tau=TAU) for c in common]
        log_s = [log_kernel(s, torch.cat([s, past_salient]), tau=TAU) for s in silenced]
        salient_uniformity = _mean(uniformity, log_s)
        terms = {
            "common_alignment": alignment(*common, tau=TAU),
            "common_uniformity": self.uniform * _mean(uniformity, log_c),
            "salient_alignment": self.salient
            * alignment(salient_a, salient_b, tau=TAU, among=is_target),
            "salient_uniformity": self.salient * self.uniform * salient_uniformity,
            "background": self.background * self.silence(salient_a, salient_b, is_target),
        }
        joint = [c + s for c, s in zip(log_c, log_s, strict=True)]
        if self.joint_entropy:
            terms["joint_entropy"] = self.joint_entropy * _mean(negative_entropy, joint)
        with torch.no_grad():
            shared = [shared_information(c, s) for c, s in zip(log_c, log_s, strict=True)]
            above = salient_uniformity - self.floor(is_target, past_salient)
            notes = {
                "shared_information": torch.stack(shared).mean(),
                "salient_uniformity_above_floor": above,
            }
        return Loss(terms, notes)

    def silenced(
        self, salient: Float[Tensor, "item salient"], is_target: Bool[Tensor, "item"]
    ) -> Float[Tensor, "item salient"]:
        """Return the codes with the constant in the background's place, which gets no gradient."""
        return salient.masked_fill(~is_target[:, None], self.constant)

    def silence(
        self,
        salient_a: Float[Tensor, "item salient"],
        salient_b: Float[Tensor, "item salient"],
        is_target: Bool[Tensor, "item"],
    ) -> Float[Tensor, ""]:
        """Return how far the background's codes are from the constant."""
        constant = torch.full_like(salient_a, self.constant)
        return _mean(
            lambda each: alignment(constant, each, tau=TAU, among=~is_target),
            [salient_a, salient_b],
        )

    def floor(
        self, is_target: Bool[Tensor, "item"], past_salient: Float[Tensor, "past salient"]
    ) -> Float[Tensor, ""]:
        """Return the least that the salient code's uniformity can be: silent pairs never part."""
        silent = (~is_target).sum()
        silent_past = (past_salient == self.constant).all(dim=1).sum()
        past = past_salient.isnan().any(dim=1).logical_not().sum()
        pairs = len(is_target) * (len(is_target) - 1 + past)
        return (silent * (silent - 1 + silent_past) / pairs).log()


def _mean(term: Callable[[Tensor], Tensor], views: list[Tensor]) -> Float[Tensor, ""]:
    return torch.stack([term(each) for each in views]).mean()
