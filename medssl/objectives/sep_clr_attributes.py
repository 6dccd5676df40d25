"""SepCLR where attributes of the targets are known: one salient coordinate tells each of them.

Each coordinate is brought together where two targets have much the same attribute, kept apart
otherwise, and is to be a constant in the background; the common code is as in `sep_clr`.

Source: Louiset, Duchesnay, Grigis, Gori, "Separating common from salient patterns with Contrastive
Representation Learning", ICLR 2024, arXiv:2402.11928 (its supervised variant).
Code: neurospin-projects/2024_rlouiset_sep_clr@0e40bff, the script for dSprites, whose weights are
the defaults.
Departs from the paper: the kernel is computed by its logarithm; of a group that is missing the term
is 0; attributes that are numbers are to be of unit deviation, where dSprites' lie between 0 and 1.
"""

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

__all__ = ["SepCLRAttributes"]

TAU = 0.5
CONTINUOUS_TAU = 0.025  # of attributes' likeness, and of what holds the background's coordinate
SAME_CLASS = 1e-5  # twice the tau of classes' likeness: next to nobody but equals is alike


class SepCLRAttributes(nn.Module):
    """Common codes as in SepCLR, and a salient coordinate an attribute.

    Args:
        salient: Weight of the salient code's terms.
        joint_entropy: Weight of the joint entropy; 0 leaves it out.
        uniform: Weight of uniformity beside alignment in the common code.
        constant: The background's salient code, along each axis.
    """

    def __init__(
        self,
        *,
        salient: float = 100.0,
        joint_entropy: float = 10.0,
        uniform: float = 1.0,
        constant: float = 0.0,
    ) -> None:
        super().__init__()
        weights = salient, joint_entropy, uniform
        if min(weights) < 0:
            msg = f"SepCLRAttributes' weights must not be negative, got {weights}"
            raise ValueError(msg)
        self.salient, self.joint_entropy, self.uniform = weights
        self.constant = constant

    @full_precision
    def forward(
        self,
        common_a: Float[Tensor, "item common"],
        common_b: Float[Tensor, "item common"],
        salient_a: Float[Tensor, "item salient"],
        is_target: Bool[Tensor, "item"],
        attributes: Float[Tensor, "item attribute"],
        is_categorical: Bool[Tensor, "attribute"],
    ) -> Loss:
        """Compare two views' common codes, and the first view's salient code with attributes.

        Args:
            common_a: Of the first view; normalized here.
            common_b: Of the second.
            salient_a: Of the first view, a coordinate an attribute; not normalized.
            is_target: Which items are of the target group.
            attributes: What is known of each target: numbers of classes, or numbers of unit
                deviation.
            is_categorical: Which attributes are classes.

        Raises:
            ValueError: If there are not as many coordinates as attributes.
        """
        if salient_a.shape[1] != attributes.shape[1]:
            msg = (
                f"expected a salient coordinate for each of {attributes.shape[1]} attributes, got "
                f"{salient_a.shape[1]}; set the method's salient_dim to their number"
            )
            raise ValueError(msg)
        common = [functional.normalize(each, dim=1) for each in (common_a, common_b)]
        log_c = [log_kernel(c, c, tau=TAU) for c in common]
        silenced = salient_a.masked_fill(~is_target[:, None], self.constant)
        log_s = log_kernel(silenced, silenced, tau=TAU)
        by_axis = [log_kernel(axis, axis, tau=TAU) for axis in silenced.split(1, dim=1)]
        likeness = attribute_alignment(salient_a, attributes, is_categorical, is_target)
        silence = self.silence(salient_a, is_categorical, is_target)
        terms = {
            "common_alignment": alignment(*common, tau=TAU),
            "common_uniformity": self.uniform * torch.stack([*map(uniformity, log_c)]).mean(),
            "salient_uniformity": self.salient * torch.stack([*map(uniformity, by_axis)]).mean(),
            "salient_alignment": self.salient * likeness.mean() / 2,
            "background": self.salient * silence.mean() / 2,
        }
        if self.joint_entropy:
            terms["joint_entropy"] = self.joint_entropy * negative_entropy(log_c[0] + log_s)
        with torch.no_grad():
            notes = {"shared_information": shared_information(log_c[0], log_s)}
        return Loss(terms, notes)

    def silence(
        self,
        salient: Float[Tensor, "item salient"],
        is_categorical: Bool[Tensor, "salient"],
        is_target: Bool[Tensor, "item"],
    ) -> Float[Tensor, "salient"]:
        """Return how far the background is from the constant, coordinate by coordinate."""
        tau = torch.full_like(salient[0], CONTINUOUS_TAU).masked_fill(is_categorical, TAU)
        apart = (salient - self.constant).square() / (2 * tau)
        count = (~is_target).sum().clamp(min=1)
        return apart.masked_fill(is_target[:, None], 0).sum(dim=0) / count


def attribute_alignment(
    salient: Float[Tensor, "item attribute"],
    attributes: Float[Tensor, "item attribute"],
    is_categorical: Bool[Tensor, "attribute"],
    is_target: Bool[Tensor, "item"],
) -> Float[Tensor, "attribute"]:
    """Return the mean over pairs of targets of likeness times the squared distance.

    The likeness of two attributes y is exp(-(y - y')^2 / w), w being small for classes. It is a
    plain mean over all pairs, of which most may be unlike; 0 where there is no pair.
    """
    width = torch.full_like(attributes[0], 2 * CONTINUOUS_TAU).masked_fill(
        is_categorical, SAME_CLASS
    )
    differ, apart = (
        (each.T[:, :, None] - each.T[:, None, :]).square() for each in (attributes, salient)
    )
    weighed = (-differ / width[:, None, None]).exp() * apart
    both = is_target[:, None] & is_target
    pairs = is_target.sum() * (is_target.sum() - 1)  # in both orders; nobody is apart from himself
    return weighed.masked_fill(~both, 0).sum(dim=(1, 2)) / pairs.clamp(min=1)
