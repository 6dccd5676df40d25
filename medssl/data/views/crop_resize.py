"""Crop and resize: a box of the image, brought back to the image's size.

Source: Chaitanya et al., "Contrastive learning of global and local features for medical image
segmentation with limited annotations", NeurIPS 2020; the authors' code cuts 100 of 192 pixels.
Departs from the paper: the box may touch the border, which the authors' stays 10 pixels clear of.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from medssl.data.randomness import uniform
from medssl.data.views._shared import check_probability, check_range, identity

__all__ = ["CropResize"]


@dataclass(frozen=True, kw_only=True)
class CropResize:
    """A box of the image's proportions, anywhere inside, resized linearly.

    Args:
        ratio: Smallest and largest side of the box, as a share of the image's.
        through_plane: Whether volumes are cut along k as well, where a part of the volume
            is known by its place.
        p: Probability that a view is touched at all.
    """

    ratio: tuple[float, float] = (100 / 192, 100 / 192)
    through_plane: bool = False
    p: float = 1.0

    def __post_init__(self) -> None:
        check_range("ratio", self.ratio, above=0)
        check_probability("p", self.p)
        if self.ratio[1] > 1:
            msg = f"ratio must not be above 1, where the box leaves the image, got {self.ratio}"
            raise ValueError(msg)

    def draw(self, generator: torch.Generator, spatial_dims: int) -> Float[Tensor, "parameter"]:
        """Return the ratio and the box's place along each axis, from -1 to 1."""
        return torch.cat([uniform(generator, *self.ratio), uniform(generator, -1, 1, spatial_dims)])

    def matrix(
        self, parameters: Float[Tensor, "view parameter"], spatial: tuple[int, ...]
    ) -> Float[Tensor, "view row column"]:
        """Shrink about the middle of the box."""
        dims = len(spatial)
        ratio = parameters[:, :1].repeat(1, dims)
        if dims == 3 and not self.through_plane:
            ratio[:, 2] = 1
        matrix = identity(len(parameters), dims)
        axes = torch.arange(dims)
        matrix[:, axes, axes] = ratio
        matrix[:, :dims, dims] = parameters[:, 1:] * (1 - ratio) / 2 * torch.tensor(spatial)
        return matrix
