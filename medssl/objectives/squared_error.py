"""Squared error: an image that was restored should be the original, voxel by voxel.

Source: Pathak et al., "Context Encoders: Feature Learning by Inpainting", CVPR 2016,
arXiv:1604.07379, Eq. 1 (over what was cut out); Chen et al., "Self-supervised learning for medical
image analysis using image context restoration", Medical Image Analysis 58, 2019 (over all voxels).
Departs from the papers: no adversarial loss; the mean over voxels, so that the size of an image
does not matter.
"""

from jaxtyping import Float
from torch import Tensor, nn

from medssl.objectives import Loss, full_precision

__all__ = ["SquaredError"]


class SquaredError(nn.Module):
    """The mean squared difference.

    Args:
        changed_only: Whether only voxels count that the change has changed, as in inpainting; 0
            where none has.
    """

    def __init__(self, *, changed_only: bool = False) -> None:
        super().__init__()
        self.changed_only = changed_only

    @full_precision
    def forward(
        self,
        restored: Float[Tensor, "item channel *spatial"],
        original: Float[Tensor, "item channel *spatial"],
        changed: Float[Tensor, "item channel *spatial"],
    ) -> Loss:
        """Compare what came of the changed images with the original ones."""
        squared = (restored - original).square()
        if not self.changed_only:
            return Loss({"squared_error": squared.mean()})
        counts = (changed != original).to(squared.dtype)
        return Loss({"squared_error": (squared * counts).sum() / counts.sum().clamp(min=1)})
