"""Global contrast: what lies in the same part of a volume is alike, in another part is not.

Source: Chaitanya, Erdil, Karani, Konukoglu, "Contrastive learning of global and local features
for medical image segmentation with limited annotations", NeurIPS 2020, arXiv:2006.10511.
Departs from the paper: volumes 2g and 2g + 1 are partners (the released code chains them and may
draw one volume twice), pairs of one subject are left out of what compares volumes, and the
random variant takes no negatives of the anchor's own subject.
"""

from typing import Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from medssl.objectives import Loss, full_precision

__all__ = ["GlobalContrast"]

Variant = Literal["random", "partition", "partition_pairs"]


class GlobalContrast(nn.Module):
    """The term of a positive pair (a, b) is -log(e^s(a,b) / (e^s(a,b) + sum over a's negatives)).

    s is the cosine over the temperature. Other positives of an anchor are never in its
    denominator. Each pair counts in both directions.

    Args:
        variant: `random` (the paper's G^R): positives are views of one item, negatives the views
            of all other subjects. `partition` (G^D-): negatives are the items of other parts,
            those of its own volume among them. `partition_pairs` (G^D): the same part of the
            partner volume is a positive, too, view by view.
        temperature: Divides the cosine similarities; smaller weighs hard negatives more.
        normalizer: What the sum of the terms is divided by: their number (`mean`), or that of
            the items' views after adding the terms up as the released code does (`code`), which
            starts a group at each volume, so that a pair of volumes comes twice.
    """

    def __init__(
        self,
        *,
        variant: Variant = "partition_pairs",
        temperature: float = 0.1,
        normalizer: Literal["mean", "code"] = "mean",
    ) -> None:
        super().__init__()
        if temperature <= 0:
            msg = f"temperature must be positive, got {temperature}"
            raise ValueError(msg)
        self.variant, self.temperature, self.normalizer = variant, temperature, normalizer
        self.num_views = 2
        self.volumes_multiple = 2 if variant == "partition_pairs" else 1

    @full_precision
    def forward(
        self,
        z: Float[Tensor, "view item dim"],
        volume: Int[Tensor, "item"],
        part: Int[Tensor, "item"],
        subject: Int[Tensor, "item"],
    ) -> Loss:
        """Compare the views' projections, which are normalized here."""
        self.check(len(z), volume, part, subject)
        unit = F.normalize(z, dim=2)
        similarity, repulsion = self.similarities(unit, part, subject)
        views = len(z)
        own = self.own_terms(unit, repulsion)
        total, pairs = {"views": own.sum()}, len(part) * views * (views - 1)
        count: Tensor | float = pairs
        if self.variant == "partition_pairs":
            strangers = partners(volume, part) & (subject[:, None] != subject)
            theirs = self.partner_terms(similarity, repulsion, strangers)
            total["volumes"] = theirs.sum()
            count = pairs + views * strangers.sum()
        if self.normalizer == "code":
            count = views * len(part) / self.volumes_multiple
        defined = self.has_negatives(part, subject) & self.has_partners(volume, part)
        return Loss(
            {name: torch.where(defined, term / count, torch.nan) for name, term in total.items()}
        )

    def similarities(
        self,
        unit: Float[Tensor, "view item dim"],
        part: Int[Tensor, "item"],
        subject: Int[Tensor, "item"],
    ) -> tuple[Float[Tensor, "row row"], Float[Tensor, "view item"]]:
        """Return the scaled cosines of all rows, and how near each one's negatives are to it.

        A row is a view of an item, the views one after the other.
        """
        kind = (subject if self.variant == "random" else part).repeat(len(unit))
        rows = unit.flatten(0, 1)
        similarity = rows @ rows.T / self.temperature
        alike = kind[:, None] == kind
        repulsion = similarity.masked_fill(alike, -torch.inf).logsumexp(dim=1)
        return similarity, repulsion.unflatten(0, unit.shape[:2])

    def own_terms(
        self, unit: Float[Tensor, "view item dim"], repulsion: Float[Tensor, "view item"]
    ) -> Float[Tensor, "anchor view item"]:
        """Return the term of each view of an item as the anchor of its other ones, else 0."""
        cosines = torch.einsum("aid,bid->abi", unit, unit) / self.temperature
        terms = -F.logsigmoid(cosines - repulsion[:, None])
        itself = torch.eye(len(unit), dtype=torch.bool, device=unit.device)
        return terms.masked_fill(itself[..., None], 0)

    def partner_terms(
        self,
        similarity: Float[Tensor, "row row"],
        repulsion: Float[Tensor, "view item"],
        strangers: Bool[Tensor, "item item"],
    ) -> Float[Tensor, "view item item"]:
        """Return the term of each item as the anchor of its partner in the same view, else 0."""
        views, items = repulsion.shape
        by_view = similarity.view(views, items, views, items).diagonal(dim1=0, dim2=2)
        terms = -F.logsigmoid(by_view.movedim(2, 0) - repulsion[..., None])
        return terms.masked_fill(~strangers, 0)

    def has_negatives(
        self, part: Int[Tensor, "item"], subject: Int[Tensor, "item"]
    ) -> Bool[Tensor, ""]:
        """Return whether there is anything to be unlike."""
        kind = subject if self.variant == "random" else part
        return (kind != kind[0]).any()

    def has_partners(
        self, volume: Int[Tensor, "item"], part: Int[Tensor, "item"]
    ) -> Bool[Tensor, ""]:
        """Return whether each item's part is in the partner volume, too, where that matters."""
        found = partners(volume, part).any(dim=1).all()
        return found if self.variant == "partition_pairs" else torch.ones_like(found)

    def check(
        self,
        num_views: int,
        volume: Int[Tensor, "item"],
        part: Int[Tensor, "item"],
        subject: Int[Tensor, "item"],
    ) -> None:
        """Refuse what cannot be contrasted, by name; an accelerator is not waited for.

        There, the loss is NaN instead, at which the training loop stops.
        """
        if len(part) < 2 or num_views < self.num_views:
            msg = (
                f"GlobalContrast needs a batch of at least 2 items in {self.num_views} views, "
                f"got {len(part)} in {num_views}"
            )
            raise ValueError(msg)
        if part.device.type != "cpu":
            return
        if not self.has_negatives(part, subject):
            kind = "subject" if self.variant == "random" else "part"
            msg = (
                f"GlobalContrast ({self.variant}) needs items of at least 2 {kind}s in a batch, "
                "got one alone; cut the cases by `partition` or take more of them"
            )
            raise ValueError(msg)
        if not self.has_partners(volume, part):
            msg = (
                f"GlobalContrast ({self.variant}) pairs volumes 2g and 2g + 1, which needs an even "
                f"number of them with the same parts in a batch, got {len(volume.unique())}"
            )
            raise ValueError(msg)


def partners(volume: Int[Tensor, "item"], part: Int[Tensor, "item"]) -> Bool[Tensor, "item item"]:
    """Return which items are the same part of the two volumes 2g and 2g + 1."""
    is_pair = (volume[:, None] // 2 == volume // 2) & (volume[:, None] != volume)
    return is_pair & (part[:, None] == part)
