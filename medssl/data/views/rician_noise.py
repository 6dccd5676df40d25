"""Rician noise: that of a magnitude MR image, whose real and imaginary parts are noisy.

Source: Gudbjartsson and Patz, "The Rician distribution of noisy MRI data", MRM 1995. Where
there is no signal it brightens, which Gaussian noise does not.
Departs from the paper: normalized intensities may lie below 0, where no magnitude does; there
the magnitude is counted from the channel's minimum.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from medssl.data.randomness import uniform
from medssl.data.views._shared import check_probability, check_range, column, spatial_axes

__all__ = ["RicianNoise"]


@dataclass(frozen=True, kw_only=True)
class RicianNoise:
    """A view's two noise fields are a function of its seed and the device, of nothing else.

    Args:
        std: Smallest and largest standard deviation of either part, in normalized intensities.
        p: Probability that a view is touched at all.
    """

    std: tuple[float, float] = (0.0, 0.1)
    p: float = 1.0

    def __post_init__(self) -> None:
        check_range("std", self.std)
        check_probability("p", self.p)
        if self.std[0] < 0:
            msg = f"std must not be below 0, got {self.std}"
            raise ValueError(msg)

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
        """Return the magnitudes of the noisy views."""
        fields = images.new_empty(len(images), 2, *images.shape[1:])
        generator = torch.Generator(images.device)
        for row, seed in zip(fields, seeds, strict=True):
            row.normal_(generator=generator.manual_seed(seed))
        std = column(parameters, 0, images)
        magnitude = images - images.amin(spatial_axes(images), keepdim=True).clamp(max=0)
        real = torch.addcmul(magnitude, fields[:, 0], std)
        # As a difference: no noise changes no bit, below 0 either.
        return images + (real.hypot(fields[:, 1] * std) - magnitude)
