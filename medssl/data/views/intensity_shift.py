"""Intensity shift: contrast about the mean, then brightness.

Source: Chaitanya et al., "Contrastive learning of global and local features for medical image
segmentation with limited annotations", NeurIPS 2020, and the authors' code for the ranges.
Departs from the authors' code: each view has numbers of its own (theirs share one pair in a
batch).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from medssl.data.randomness import uniform
from medssl.data.views._shared import check_probability, check_range, column, spatial_axes

__all__ = ["IntensityShift"]


@dataclass(frozen=True, kw_only=True)
class IntensityShift:
    """A factor on the distance to each channel's mean, and an offset.

    Args:
        offset: Smallest and largest offset, in normalized intensities.
        contrast: Smallest and largest factor.
        clip: Intensities beyond these become them; none are where it is null.
        p: Probability that a view is touched at all.
    """

    offset: tuple[float, float] = (-0.3, 0.3)
    contrast: tuple[float, float] = (0.7, 1.3)
    clip: tuple[float, float] | None = (0.0, 1.5)
    p: float = 1.0

    def __post_init__(self) -> None:
        check_range("offset", self.offset)
        check_range("contrast", self.contrast)
        check_probability("p", self.p)
        if self.clip is not None:
            check_range("clip", self.clip)

    def draw(
        self,
        generator: torch.Generator,
        spatial_dims: int,
    ) -> Float[Tensor, "parameter"]:
        """Return the offset and the factor."""
        return torch.cat([uniform(generator, *self.offset), uniform(generator, *self.contrast)])

    def apply(
        self,
        images: Float[Tensor, "view channel *spatial"],
        parameters: Float[Tensor, "view parameter"],
        seeds: Sequence[int],
    ) -> Float[Tensor, "view channel *spatial"]:
        """Return the views with new contrast and brightness."""
        offset, contrast = column(parameters, 0, images), column(parameters, 1, images)
        mean = images.mean(spatial_axes(images), keepdim=True)
        # As one factor and one offset: the views are read and written once.
        changed = torch.addcmul(offset + (1 - contrast) * mean, images, contrast)
        return changed if self.clip is None else changed.clamp_(*self.clip)
