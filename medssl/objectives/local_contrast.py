"""Local contrast: a region of a decoder map is like itself in the other view, unlike its neighbors.

Source: Chaitanya, Erdil, Karani, Konukoglu, "Contrastive learning of global and local features
for medical image segmentation with limited annotations", NeurIPS 2020, arXiv:2006.10511, the
random strategy L^R.
Departs from the paper: nowhere in 2-D; in 3-D the lattice and the nearest regions as negatives
are medssl's.
"""

from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from medssl.objectives import Loss, full_precision
from medssl.objectives._regions import Lattice, NumNegatives

__all__ = ["LocalContrast"]


class LocalContrast(nn.Module):
    """Each region finds itself among its neighbors of both maps; other items never matter.

    Args:
        temperature: Divides the cosine similarities; smaller weighs hard negatives more.
        window_vox: Side of a region, in voxels of the map.
        num_negatives: Neighbors that are negatives, in each of the two maps: at most 5 in 2-D;
            `all` takes all other regions, which the paper does not for want of memory.
        centers: Whether the grid's cells are compared besides the grid (13 regions in 2-D and 35
            in 3-D; 9 and 27 without).
    """

    def __init__(
        self,
        *,
        temperature: float = 0.1,
        window_vox: Literal[1, 3] = 3,
        num_negatives: NumNegatives = 5,
        centers: bool = True,
    ) -> None:
        super().__init__()
        if temperature <= 0:
            msg = f"temperature must be positive, got {temperature}"
            raise ValueError(msg)
        self.temperature, self.window_vox = temperature, window_vox
        self.lattice = Lattice(window_vox=window_vox, num_negatives=num_negatives, centers=centers)

    @full_precision
    def forward(
        self,
        regions_a: Float[Tensor, "item region dim"],
        regions_b: Float[Tensor, "item region dim"],
    ) -> Loss:
        """Compare two views' regions, which are normalized here, in the order of `lattice`."""
        negatives = self.lattice.negatives(regions_a.shape[1])
        unit_a, unit_b = F.normalize(regions_a, dim=2), F.normalize(regions_b, dim=2)
        there = self.terms(unit_a, unit_b, negatives)
        back = self.terms(unit_b, unit_a, negatives)
        return Loss({"regions": (there.mean() + back.mean()) / 2})

    def terms(
        self,
        anchor: Float[Tensor, "item region dim"],
        other: Float[Tensor, "item region dim"],
        negatives: Int[Tensor, "anchor negative"],
    ) -> Float[Tensor, "item anchor"]:
        """Return -log of the share of each anchor's similarity that its own region has."""
        num_anchors = len(negatives)
        row = torch.arange(num_anchors, device=anchor.device)
        within = anchor[:, :num_anchors] @ anchor.mT / self.temperature
        across = anchor[:, :num_anchors] @ other.mT / self.temperature
        positive = across[:, row, row]
        rivals = torch.cat(
            [within[:, row[:, None], negatives], across[:, row[:, None], negatives]], dim=2
        )
        return -F.logsigmoid(positive - rivals.logsumexp(dim=2))
