"""Bias field: a smooth factor that varies over the image, as a coil's sensitivity does.

Source: Van Leemput et al., "Automated model-based bias field correction of MR images of the
brain", IEEE TMI 1999: the logarithm of the field is a polynomial of the place. TorchIO's
RandomBiasField (Pérez-García et al., CMPB 2021) draws one.
Departs from TorchIO: no constant term, which would be a change of contrast, and smaller
coefficients; all channels of a view share the field.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from medssl.data.randomness import uniform
from medssl.data.views._shared import check_probability

__all__ = ["BiasField"]


@dataclass(frozen=True, kw_only=True)
class BiasField:
    """A factor, so 0 stays 0: for intensities whose background is 0.

    Args:
        coefficient: Largest coefficient, where places run from -1 to 1 along each axis.
        order: Highest total degree of a term.
        p: Probability that a view is touched at all.
    """

    coefficient: float = 0.3
    order: int = 3
    p: float = 1.0

    def __post_init__(self) -> None:
        check_probability("p", self.p)
        if self.coefficient < 0:
            msg = f"coefficient must not be below 0, got {self.coefficient}"
            raise ValueError(msg)
        if self.order < 1:
            msg = f"order must be at least 1, got {self.order}"
            raise ValueError(msg)

    def draw(self, generator: torch.Generator, spatial_dims: int) -> Float[Tensor, "parameter"]:
        """Return a coefficient for each power of each axis: 0 where the degree is not allowed."""
        powers = torch.arange(self.order + 1)
        degree = torch.cartesian_prod(*(powers,) * spatial_dims).sum(1)
        coefficients = uniform(generator, -self.coefficient, self.coefficient, len(degree))
        return coefficients * ((degree > 0) & (degree <= self.order))

    def apply(
        self,
        images: Float[Tensor, "view channel *spatial"],
        parameters: Float[Tensor, "view parameter"],
        seeds: Sequence[int],
    ) -> Float[Tensor, "view channel *spatial"]:
        """Return the views times their fields."""
        spatial = images.shape[2:]
        field = parameters.reshape(-1, 1, *(self.order + 1 for _ in spatial))
        powers = torch.arange(self.order + 1, device=images.device)
        # An axis at a time: no term has a map of the image's size.
        for axis, size in enumerate(spatial, start=2):
            offsets = torch.arange(size, device=images.device) - (size - 1) / 2
            along = (offsets * (2 / max(size - 1, 1)))[:, None] ** powers
            field = (field.movedim(axis, -1) @ along.mT).movedim(-1, axis)
        return images * field.exp()
