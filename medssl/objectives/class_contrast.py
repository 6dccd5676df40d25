"""Class contrast: a voxel is like the mean of its class, in its image and in a partner's.

Source: Chaitanya, Erdil, Karani, Konukoglu, "Local contrastive loss with pseudo-label based
self-training for semi-supervised medical image segmentation", Medical Image Analysis 87, 2023,
arXiv:2112.09645.
Departs from the paper: all voxels of a class are anchors instead of three drawn ones, of which the
loss is then the expectation; pairs weigh alike, where the released code weighs the last one most.
"""

from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from medssl.objectives import Loss, full_precision

__all__ = ["ClassContrast"]


class ClassContrast(nn.Module):
    """Items 0 and 1 are a pair, 2 and 3 the next one; one without a partner is left out.

    A pair counts if both of its images hold every class but the background, which is never used.

    Args:
        temperature: Divides the cosine similarities; smaller weighs hard negatives more.
        means: Whose means of classes there are: those of both images of a pair (`inter`), or of
            a voxel's own image (`intra`).
    """

    def __init__(
        self, *, temperature: float = 0.1, means: Literal["inter", "intra"] = "inter"
    ) -> None:
        super().__init__()
        if temperature <= 0:
            msg = f"temperature must be positive, got {temperature}"
            raise ValueError(msg)
        self.temperature, self.means = temperature, means

    @full_precision
    def forward(
        self,
        dense: Float[Tensor, "item dim *spatial"],
        is_of: Bool[Tensor, "item class *spatial"],
    ) -> Loss:
        """Compare voxels, whose embeddings are normalized here, with means of classes.

        The term is 0 where no pair counts.
        """
        even = len(dense) // 2 * 2
        unit = F.normalize(dense[:even].flatten(2), dim=1)
        members = is_of[:even].flatten(2)
        means = class_means(unit, members)
        partner = torch.arange(even, device=dense.device).view(-1, 2).flip(1).flatten()
        seen = torch.stack([means, means[partner]] if self.means == "inter" else [means], dim=1)
        similarity = torch.einsum("idv,isdk->iskv", unit, seen) / self.temperature
        # the mean of an own class is in the denominator, too
        shares = similarity.flatten(1, 2).log_softmax(dim=1).view_as(similarity).mean(dim=1)
        size = members.sum(dim=2)
        per_class = -torch.where(members, shares, 0.0).sum(dim=2) / size.clamp(min=1)
        whole = (size > 0).all(dim=1)
        counts = (whole & whole[partner]).to(per_class.dtype)
        return Loss({"classes": (per_class.mean(dim=1) * counts).sum() / counts.sum().clamp(min=1)})


def class_means(
    unit: Float[Tensor, "item dim voxel"], members: Bool[Tensor, "item class voxel"]
) -> Float[Tensor, "item dim class"]:
    """Return the direction of the mean embedding of each class in each item."""
    sums = torch.einsum("idv,ikv->idk", unit, members.to(unit.dtype))
    return F.normalize(sums, dim=1)
