"""Dice with cross entropy: overlap of each class as a whole, and each voxel on its own.

Source: Milletari, Navab, Ahmadi, "V-Net: Fully Convolutional Neural Networks for Volumetric
Medical Image Segmentation", 3DV 2016, arXiv:1606.04797, Sec. 3; the sum with cross entropy as in
Isensee et al., "nnU-Net", Nature Methods 2021, 10.1038/s41592-020-01008-z.
Departs from the paper: the denominator adds probabilities (V-Net adds their squares), as nnU-Net
does; several classes, averaged; what smooths it stands in both halves of the fraction.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from medssl.objectives import Loss, full_precision

__all__ = ["DiceCrossEntropy"]


class DiceCrossEntropy(nn.Module):
    """Soft Dice loss over classes plus cross entropy over voxels.

    Args:
        dice: Weight of the soft Dice loss.
        cross_entropy: Weight of the cross entropy, which always counts the background.
        background: Whether class 0 has a share in the Dice loss.
        pooled: Whether overlaps are those of the whole batch, or of each item, averaged; of the
            whole batch, a class that an item lacks does not weigh as much as one it has.
        smooth: Added above and below the fraction, which keeps an absent class defined.
    """

    def __init__(
        self,
        *,
        dice: float = 1.0,
        cross_entropy: float = 1.0,
        background: bool = False,
        pooled: bool = True,
        smooth: float = 1e-5,
    ) -> None:
        super().__init__()
        self.dice, self.cross_entropy = dice, cross_entropy
        self.background, self.pooled, self.smooth = background, pooled, smooth

    @full_precision
    def forward(
        self,
        logits: Float[Tensor, "item class *spatial"],
        label: Int[Tensor, "item *spatial"],
    ) -> Loss:
        """Compare logits with the number of each voxel's class."""
        if logits.shape[1] < 2:
            msg = f"DiceCrossEntropy needs at least 2 classes, got {logits.shape[1]}"
            raise ValueError(msg)
        label = label.long()
        log_probabilities = functional.log_softmax(logits, dim=1)
        return Loss(
            {
                "dice": self.dice * self._dice_loss(log_probabilities.exp(), label),
                "cross_entropy": self.cross_entropy * functional.nll_loss(log_probabilities, label),
            }
        )

    def _dice_loss(
        self,
        probabilities: Float[Tensor, "item class *spatial"],
        label: Int[Tensor, "item *spatial"],
    ) -> Float[Tensor, ""]:
        """Return 1 minus the overlap, averaged over classes, and over items if not pooled."""
        numbers = torch.arange(probabilities.shape[1], device=label.device)
        truth = label.flatten(1).unsqueeze(1) == numbers.unsqueeze(1)
        found = probabilities.flatten(2)
        first = 0 if self.background else 1
        shared, total = (volume[:, first:].sum(2) for volume in (found * truth, found + truth))
        if self.pooled:
            shared, total = shared.sum(0), total.sum(0)
        return (1 - (2 * shared + self.smooth) / (total + self.smooth)).mean()
