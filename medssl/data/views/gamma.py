"""Gamma: a power of the normalized intensities.

Source: the gamma augmentation of nnU-Net (Isensee et al., Nature Methods 2021).
Departs from nnU-Net: 0 and 1, which normalization anchors, keep their places instead of each
image's darkest and brightest voxel, which may be outliers; the exponent is drawn evenly on a
logarithmic scale; mean and deviation are not restored, and images are not inverted.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from medssl.data.randomness import uniform
from medssl.data.views._shared import check_probability, check_range, column

__all__ = ["Gamma"]


@dataclass(frozen=True, kw_only=True)
class Gamma:
    """Intensities between 0 and 1 change, those beyond stay.

    Args:
        exponent: Smallest and largest exponent; above 1 mid-tones get darker.
        p: Probability that a view is touched at all.
    """

    exponent: tuple[float, float] = (0.7, 1.5)
    p: float = 1.0

    def __post_init__(self) -> None:
        check_range("exponent", self.exponent, above=0)
        check_probability("p", self.p)

    def draw(
        self,
        generator: torch.Generator,
        spatial_dims: int,
    ) -> Float[Tensor, "parameter"]:
        """Return the exponent."""
        low, high = self.exponent
        return uniform(generator, math.log(low), math.log(high)).exp()

    def apply(
        self,
        images: Float[Tensor, "view channel *spatial"],
        parameters: Float[Tensor, "view parameter"],
        seeds: Sequence[int],
    ) -> Float[Tensor, "view channel *spatial"]:
        """Return the views with other mid-tones."""
        inside = images.clamp(0, 1)
        # As a difference: an exponent of 1 changes no bit.
        return inside.pow(column(parameters, 0, images)).sub_(inside).add_(images)
