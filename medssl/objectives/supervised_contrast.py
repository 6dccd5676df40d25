"""Supervised contrast: bring all views of one label together, apart from those of other labels.

Source: Khosla, Teterwak, Wang, Sarna, Tian, Isola, Maschinot, Liu, Krishnan, "Supervised
Contrastive Learning", NeurIPS 2020, arXiv:2004.11362, Eq. 2 (L_out).
Departs from the paper: averaged over anchors, which Eq. 2 adds up, so that the number does not grow
with the batch. Views of one subject are told apart by their labels alone.
"""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional

from medssl.objectives import Loss, full_precision

__all__ = ["SupervisedContrast"]


class SupervisedContrast(nn.Module):
    """NT-Xent with many positives: an item's other view, and both views of items of its label.

    Args:
        temperature: Divides the cosine similarities; smaller weighs hard negatives more.
    """

    def __init__(self, *, temperature: float = 0.1) -> None:
        super().__init__()
        if temperature <= 0:
            msg = f"temperature must be positive, got {temperature}"
            raise ValueError(msg)
        self.temperature = temperature

    @full_precision
    def forward(
        self,
        z_a: Float[Tensor, "item dim"],
        z_b: Float[Tensor, "item dim"],
        label: Int[Tensor, "item"] | Bool[Tensor, "item"],
    ) -> Loss:
        """Compare two views' projections, which are normalized here, of items of these labels."""
        if len(z_a) < 2:
            msg = f"SupervisedContrast needs a batch of at least 2 to compare items, got {len(z_a)}"
            raise ValueError(msg)
        z = functional.normalize(torch.cat([z_a, z_b]), dim=1)
        similarity = z @ z.T / self.temperature
        itself = torch.eye(len(z), dtype=torch.bool, device=z.device)
        labels = torch.cat([label, label])
        positive = (labels[:, None] == labels) & ~itself
        # the mean stands outside of the logarithm: a mean of similarities
        attraction = (similarity * positive).sum(dim=1) / positive.sum(dim=1)
        among_all = similarity.masked_fill(itself, -torch.inf).logsumexp(dim=1)
        return Loss({"supervised_contrast": (among_all - attraction).mean()})
