"""Cross entropy: the class an item has should be the likely one.

Source: Bishop, "Pattern Recognition and Machine Learning", 2006, Eq. 4.108.
Departs from the source: the mean over items, not their sum.
"""

from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from medssl.objectives import Loss, full_precision

__all__ = ["CrossEntropy"]


class CrossEntropy(nn.Module):
    """Minus the logarithm of the softmax at each item's class, averaged."""

    @full_precision
    def forward(self, logits: Float[Tensor, "item class"], target: Int[Tensor, "item"]) -> Loss:
        """Compare the logits with the number of each item's class."""
        return Loss({"cross_entropy": functional.cross_entropy(logits, target)})
