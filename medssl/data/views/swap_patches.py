"""Swap patches: what lies in pairs of boxes changes places.

Source: Chen et al., "Self-supervised learning for medical image analysis using image context
restoration", Medical Image Analysis 58, 2019, Algorithm 1.
Departs from the paper: unknown sizes and numbers of patches are arguments; a pair that overlaps
stays where it is.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from medssl.data.randomness import uniform
from medssl.data.views._shared import check_probability

__all__ = ["SwapPatches"]


@dataclass(frozen=True, kw_only=True)
class SwapPatches:
    """Pairs of boxes of one size, through all channels, one pair after the other.

    Args:
        count: How many pairs there are in a view.
        side: Side of a box, as a share of the image's, rounded up.
        p: Probability that a view is touched at all.
    """

    count: int = 10
    side: float = 0.15
    p: float = 1.0

    def __post_init__(self) -> None:
        check_probability("p", self.p)
        if not 0 < self.side <= 0.5:
            msg = f"side must be in (0, 0.5], where two boxes fit, got {self.side}"
            raise ValueError(msg)
        if self.count < 1:
            msg = f"count must be at least 1 pair, got {self.count}"
            raise ValueError(msg)

    def draw(self, generator: torch.Generator, spatial_dims: int) -> Float[Tensor, "parameter"]:
        """Return for each pair the places of its boxes along each axis, from 0 to 1."""
        return uniform(generator, 0, 1, self.count * 2 * spatial_dims)

    def apply(
        self,
        images: Float[Tensor, "view channel *spatial"],
        parameters: Float[Tensor, "view parameter"],
        seeds: Sequence[int],
    ) -> Float[Tensor, "view channel *spatial"]:
        """Return the views with the boxes at each other's places."""
        spatial, device = images.shape[2:], images.device
        sides = [math.ceil(self.side * size) for size in spatial]
        strides = [math.prod(spatial[axis + 1 :]) for axis in range(len(spatial))]
        places = parameters.reshape(-1, self.count, 2, len(spatial))
        first = torch.zeros(places.shape[:3], dtype=torch.long, device=device)
        within = torch.zeros(1, dtype=torch.long, device=device)
        apart = torch.zeros(places.shape[:2], dtype=torch.bool, device=device)
        for axis, (size, side, stride) in enumerate(zip(spatial, sides, strides, strict=True)):
            start = (places[..., axis] * (size - side + 1)).floor().long()
            first += start * stride
            apart |= (start[:, :, 0] - start[:, :, 1]).abs() >= side
            steps = torch.arange(side, device=device) * stride
            within = (within[:, None] + steps).flatten()
        # where each voxel comes from, pair after pair; the same for all channels
        comes = torch.arange(math.prod(spatial), device=device).repeat(len(images), 1)
        for pair in range(self.count):
            boxes = first[:, pair, :, None] + within
            kept = boxes.flip(1).where(apart[:, pair, None, None], boxes)
            comes = comes.scatter(1, kept.flatten(1), comes.gather(1, boxes.flatten(1)))
        index = comes[:, None].expand(-1, images.shape[1], -1)
        return images.flatten(2).gather(2, index).reshape(images.shape)
