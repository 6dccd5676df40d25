"""Noise: independent Gaussian noise in each voxel.

Source: common practice; magnitude images have Rician noise, which at the usual
signal-to-noise ratios is close to Gaussian (Gudbjartsson and Patz, MRM 1995).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from medssl.data.randomness import uniform
from medssl.data.views._shared import check_probability, check_range, column

__all__ = ["Noise"]


@dataclass(frozen=True, kw_only=True)
class Noise:
    """A view's noise field is a function of its seed and the device, of nothing else.

    Args:
        std: Smallest and largest standard deviation, in normalized intensities.
        p: Probability that a view is touched at all.
    """

    std: tuple[float, float] = (0.0, 0.1)
    p: float = 1.0

    def __post_init__(self) -> None:
        check_range("std", self.std)
        check_probability("p", self.p)

    def draw(
        self,
        generator: torch.Generator,
        spatial_dims: int,
    ) -> Float[Tensor, "parameter"]:
        """Return the standard deviation."""
        return uniform(generator, *self.std)

    def apply(
        self,
        images: Float[Tensor, "view channel *spatial"],
        parameters: Float[Tensor, "view parameter"],
        seeds: Sequence[int],
    ) -> Float[Tensor, "view channel *spatial"]:
        """Return the views with noise."""
        field = torch.empty_like(images)
        generator = torch.Generator(images.device)
        for row, seed in zip(field, seeds, strict=True):
            row.normal_(generator=generator.manual_seed(seed))
        return torch.addcmul(images, field, column(parameters, 0, images), out=field)
