"""Window jitter: a CT seen through a window somewhat off the one that normalized it.

Source: common practice, after radiologists, who move the window as they read. Assumed, not
studied: how far it should move.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from medssl.data.randomness import uniform
from medssl.data.views._shared import check_probability, check_range, column

__all__ = ["WindowJitter"]


@dataclass(frozen=True, kw_only=True)
class WindowJitter:
    """For CT alone, which normalization clips to its window, 0 to 1, as is done here again.

    What other modalities hold beyond 0 and 1 would be lost. What the first window clipped is
    lost already: where the new one reaches beyond it, it shows an even gray.

    Args:
        center: Smallest and largest shift of the window's middle, as a share of its width.
        width: Smallest and largest factor on the window's width; above 1 contrast gets less.
        p: Probability that a view is touched at all.
    """

    center: tuple[float, float] = (-0.1, 0.1)
    width: tuple[float, float] = (0.8, 1.25)
    p: float = 1.0

    def __post_init__(self) -> None:
        check_range("center", self.center)
        check_range("width", self.width, above=0)
        check_probability("p", self.p)

    def draw(
        self,
        generator: torch.Generator,
        spatial_dims: int,
    ) -> Float[Tensor, "parameter"]:
        """Return the shift, and the factor evenly on a logarithmic scale."""
        low, high = self.width
        width = uniform(generator, math.log(low), math.log(high)).exp()
        return torch.cat([uniform(generator, *self.center), width])

    def apply(
        self,
        images: Float[Tensor, "view channel *spatial"],
        parameters: Float[Tensor, "view parameter"],
        seeds: Sequence[int],
    ) -> Float[Tensor, "view channel *spatial"]:
        """Return the views in their new windows."""
        center, width = column(parameters, 0, images), column(parameters, 1, images)
        low = center + (1 - width) / 2
        return ((images - low) / width).clamp_(0, 1)
