"""Low resolution: voxels are left out, and what lay between them is interpolated.

Source: the simulation of low resolution of nnU-Net (Isensee et al., Nature Methods 2021).
Departs from the paper: the way back is linear, as in nnU-Net's later code, not cubic; the
coarse grid has exactly the spacing that was drawn and the image's middle, where nnU-Net rounds
the image's size.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from medssl.data.randomness import uniform
from medssl.data.views._shared import along, check_probability, check_range

__all__ = ["LowResolution"]


@dataclass(frozen=True, kw_only=True)
class LowResolution:
    """The nearest voxel at each point of a coarse grid, then linearly between the points.

    Args:
        zoom: Smallest and largest size of the coarse grid, as a share of the image's side.
        p: Probability that a view is touched at all.
    """

    zoom: tuple[float, float] = (0.5, 1.0)
    p: float = 1.0

    def __post_init__(self) -> None:
        check_range("zoom", self.zoom, above=0)
        check_probability("p", self.p)
        if self.zoom[1] > 1:
            msg = f"zoom must not be above 1, where nothing is lost, got {self.zoom}"
            raise ValueError(msg)

    def draw(
        self,
        generator: torch.Generator,
        spatial_dims: int,
    ) -> Float[Tensor, "parameter"]:
        """Return the zoom, which is that of all axes."""
        return uniform(generator, *self.zoom)

    def apply(
        self,
        images: Float[Tensor, "view channel *spatial"],
        parameters: Float[Tensor, "view parameter"],
        seeds: Sequence[int],
    ) -> Float[Tensor, "view channel *spatial"]:
        """Return the views as if they had been taken coarsely."""
        for axis in range(2, images.ndim):
            size = images.shape[axis]
            # As a difference: a zoom of 1 changes no bit, even where products run in TF32.
            change = _there_and_back(parameters[:, :1], size)
            change = change - torch.eye(size, device=images.device)
            images = images + along(axis, images, change)
        return images


def _there_and_back(zoom: Float[Tensor, "view 1"], size: int) -> Float[Tensor, "view size size"]:
    """Return how much each voxel of an axis counts in each voxel of the result."""
    voxels = torch.arange(size, device=zoom.device)
    middle = (size - 1) / 2
    last = (size * zoom).round().clamp(min=1) - 1
    place = ((voxels - middle) * zoom + last / 2).clamp(min=0).minimum(last)
    before = place.floor()
    share = (place - before)[..., None]

    def picked(point: Float[Tensor, "view size"]) -> Tensor:
        source = ((point - last / 2) / zoom + (middle + 0.5)).floor()
        return (source[..., None] == voxels).float()

    return picked(before) * (1 - share) + picked(before + 1) * share
