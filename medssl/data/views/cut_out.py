"""Cut out: boxes of the image become 0.

Source: DeVries and Taylor, "Improved regularization of convolutional neural networks with
cutout", arXiv:1708.04552, 2017.
Departs from the paper: a box lies inside the image, where the paper's may reach beyond the
border; its sides are drawn, each on its own, where the paper's is a square of one size.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from medssl.data.randomness import uniform
from medssl.data.views._shared import check_probability, check_range

__all__ = ["CutOut"]


@dataclass(frozen=True, kw_only=True)
class CutOut:
    """Boxes of whole voxels, at least one, which may overlap; through all channels.

    Args:
        count: How many boxes there are in a view.
        side: Smallest and largest side of a box, as a share of the image's, rounded up.
        p: Probability that a view is touched at all.
    """

    count: int = 1
    side: tuple[float, float] = (0.1, 0.3)
    p: float = 1.0

    def __post_init__(self) -> None:
        check_range("side", self.side, above=0)
        check_probability("p", self.p)
        if self.side[1] > 1:
            msg = f"side must not be above 1, where the box leaves the image, got {self.side}"
            raise ValueError(msg)
        if self.count < 1:
            msg = f"count must be at least 1 box, got {self.count}"
            raise ValueError(msg)

    def draw(self, generator: torch.Generator, spatial_dims: int) -> Float[Tensor, "parameter"]:
        """Return for each box along each axis its side, then its place, from 0 to 1."""
        numbers = self.count * spatial_dims
        return torch.cat(
            [uniform(generator, *self.side, numbers), uniform(generator, 0, 1, numbers)]
        )

    def apply(
        self,
        images: Float[Tensor, "view channel *spatial"],
        parameters: Float[Tensor, "view parameter"],
        seeds: Sequence[int],
    ) -> Float[Tensor, "view channel *spatial"]:
        """Return the views without what lies in their boxes."""
        spatial = images.shape[2:]
        sides, places = parameters.reshape(-1, 2, self.count, len(spatial)).unbind(1)
        inside = torch.ones((), dtype=torch.bool, device=images.device)
        for axis, size in enumerate(spatial):
            shape = [size if each == axis else 1 for each in range(len(spatial))]
            voxels = torch.arange(size, device=images.device)
            side = (sides[..., axis, None] * size).ceil()
            start = (places[..., axis, None] * (size - side + 1)).floor()
            along = (start <= voxels) & (voxels < start + side)
            inside = inside & along.unflatten(2, shape)
        return images.masked_fill(inside.any(1, keepdim=True), 0)
