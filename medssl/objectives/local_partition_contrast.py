"""Local contrast across volumes: a region is alike in the same part of others, unlike nearby.

Source: Chaitanya, Erdil, Karani, Konukoglu, "Contrastive learning of global and local features
for medical image segmentation with limited annotations", NeurIPS 2020, arXiv:2006.10511, the
strategy L^D, which takes volumes to be aligned.
Departs from the paper: all other volumes of a batch are compared with, not two; those of the
anchor's own subject are left out; in 3-D the lattice and the nearest regions as negatives are
medssl's.
"""

from typing import Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from medssl.objectives import Loss, full_precision
from medssl.objectives._regions import Lattice, NumNegatives

__all__ = ["LocalPartitionContrast"]


class LocalPartitionContrast(nn.Module):
    """Each region of view a finds itself in view b, and at its place in other volumes' view a.

    The positive of a term competes with the negatives' places in the anchor's map and in its own.

    Args:
        temperature: Divides the cosine similarities; smaller weighs hard negatives more.
        window_vox: Side of a region, in voxels of the map.
        num_negatives: Neighbors that are negatives, in each of the two maps: at most 5 in 2-D;
            `all` takes all other regions.
        centers: Whether the grid's cells are compared besides the grid (13 regions in 2-D and 35
            in 3-D; 9 and 27 without).
        normalizer: What the sum of the terms of a region is divided by: their number (`mean`),
            or that of the maps (`code`), as the released code does.
    """

    def __init__(
        self,
        *,
        temperature: float = 0.1,
        window_vox: Literal[1, 3] = 3,
        num_negatives: NumNegatives = 4,
        centers: bool = True,
        normalizer: Literal["mean", "code"] = "mean",
    ) -> None:
        super().__init__()
        if temperature <= 0:
            msg = f"temperature must be positive, got {temperature}"
            raise ValueError(msg)
        self.temperature, self.window_vox, self.normalizer = temperature, window_vox, normalizer
        self.lattice = Lattice(window_vox=window_vox, num_negatives=num_negatives, centers=centers)

    @full_precision
    def forward(
        self,
        regions_a: Float[Tensor, "item region dim"],
        regions_b: Float[Tensor, "item region dim"],
        volume: Int[Tensor, "item"],
        part: Int[Tensor, "item"],
        subject: Int[Tensor, "item"],
    ) -> Loss:
        """Compare maps' regions, which are normalized here, in the order of `lattice`.

        Raises:
            ValueError: If an item's part is of no other volume; where that can not be seen
                without waiting for an accelerator, the loss is NaN instead.
        """
        has_others = self.check(volume, part)
        terms = self.terms(F.normalize(regions_a, dim=2), F.normalize(regions_b, dim=2)).mean(dim=2)
        own = torch.eye(len(part), dtype=torch.bool, device=part.device)
        across = (part[:, None] == part) & (subject[:, None] != subject)
        count = (own | across).sum() if self.normalizer == "mean" else 2 * len(part)
        found = {"views": (terms * own).sum() / count, "volumes": (terms * across).sum() / count}
        return Loss({name: torch.where(has_others, t, torch.nan) for name, t in found.items()})

    def terms(
        self,
        unit_a: Float[Tensor, "item region dim"],
        unit_b: Float[Tensor, "item region dim"],
    ) -> Float[Tensor, "item other anchor"]:
        """Return the term of each anchor with itself in each item's view a, its own item's view b.

        All pairs of items are one product, since which pairs count is known on the device alone.
        """
        negatives = self.lattice.negatives(unit_a.shape[1])
        num_items, num_anchors = len(unit_a), len(negatives)
        row = torch.arange(num_anchors, device=unit_a.device)
        item = torch.arange(num_items, device=unit_a.device)
        anchor = unit_a[:, :num_anchors]
        alike = torch.einsum("iad,jrd->ijar", anchor, unit_a) / self.temperature
        views = (anchor @ unit_b.mT) / self.temperature
        is_own = (item[:, None] == item)[:, :, None, None]
        across = torch.where(is_own, views[:, None], alike)
        within = alike[item, item][:, row[:, None], negatives]
        rivals = across[:, :, row[:, None], negatives]
        repulsion = torch.logaddexp(within.logsumexp(dim=2)[:, None], rivals.logsumexp(dim=3))
        return -F.logsigmoid(across[:, :, row, row] - repulsion)

    def check(self, volume: Int[Tensor, "item"], part: Int[Tensor, "item"]) -> Bool[Tensor, ""]:
        """Return whether each item's part is of another volume, too; refuse it where that is seen.

        Raises:
            ValueError: If not, on the CPU.
        """
        others = (part[:, None] == part) & (volume[:, None] != volume)
        found = others.any(dim=1).all()
        if part.device.type == "cpu" and not found:
            msg = (
                "LocalPartitionContrast compares the same part of several volumes, got a part of "
                "one volume alone in a batch; cut the cases by `partition` with shared_crop, and "
                "set batch_size to 2 or more"
            )
            raise ValueError(msg)
        return found
