"""Blur: a Gaussian along each axis, with a width of its own for each view.

Source: the Gaussian blur of SimCLR (Chen et al., ICML 2020) and nnU-Net (Isensee et al.,
Nature Methods 2021). Beyond the border nothing is known: the weights inside sum to 1.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from medssl.data.randomness import uniform
from medssl.data.views._shared import along, check_probability, check_range

__all__ = ["Blur"]

# A share of the sum that float32 cannot see. What is far smaller still is subnormal: with such
# numbers a processor multiplies a hundred times slower.
NOTHING = 1e-9


@dataclass(frozen=True, kw_only=True)
class Blur:
    """A matrix product an axis, which is faster than convolution in three dimensions.

    Args:
        sigma_vox: Smallest and largest standard deviation of the Gaussian.
        p: Probability that a view is touched at all.
    """

    sigma_vox: tuple[float, float] = (0.5, 1.0)
    p: float = 1.0

    def __post_init__(self) -> None:
        check_range("sigma_vox", self.sigma_vox, above=0)
        check_probability("p", self.p)

    def draw(
        self,
        generator: torch.Generator,
        spatial_dims: int,
    ) -> Float[Tensor, "parameter"]:
        """Return the standard deviation."""
        return uniform(generator, *self.sigma_vox)

    def apply(
        self,
        images: Float[Tensor, "view channel *spatial"],
        parameters: Float[Tensor, "view parameter"],
        seeds: Sequence[int],
    ) -> Float[Tensor, "view channel *spatial"]:
        """Return the blurred views."""
        sigma = parameters[:, :1, None]
        weights = {size: _weights(sigma, size) for size in set(images.shape[2:])}
        for axis in range(2, images.ndim):
            images = along(axis, images, weights[images.shape[axis]])
        return images


def _weights(sigma: Float[Tensor, "view 1 1"], size: int) -> Float[Tensor, "view size size"]:
    """Return how much each voxel of an axis counts in each voxel of the result."""
    place = torch.arange(size, device=sigma.device)
    weights = torch.exp(-0.5 * ((place - place[:, None]) / sigma).square())
    weights = weights.masked_fill(weights < NOTHING, 0)
    return weights / weights.sum(dim=2, keepdim=True)
