"""Affine: rotate, scale, shift and flip about the middle of the image.

Source: the spatial augmentation that nnU-Net (Isensee et al., Nature Methods 2021) and
Chaitanya et al. (NeurIPS 2020) fine-tune with.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from medssl.data.randomness import uniform
from medssl.data.views._shared import check_probability, check_range, identity, turned_about

__all__ = ["Affine"]


@dataclass(frozen=True, kw_only=True)
class Affine:
    """Angles, a factor, a shift and mirrors, each drawn evenly and on its own.

    Angles are those of the voxel grid: where voxels are far from cubes, turn about k alone.

    Args:
        rotation_deg: Largest angle about the axes i, j and k, or one number for all three;
            images have only the last.
        scale: Smallest and largest factor; above 1 things get larger.
        shift: Largest shift along an axis as a share of the image's side.
        flip: Probability of a mirror image along i, j and k; images have the first two.
        p: Probability that a view is touched at all.
    """

    rotation_deg: float | tuple[float, float, float] = 15.0
    scale: tuple[float, float] = (0.9, 1.1)
    shift: float = 0.05
    flip: tuple[float, float, float] = (0.0, 0.0, 0.0)
    p: float = 1.0

    def __post_init__(self) -> None:
        check_range("scale", self.scale, above=0)
        check_probability("p", self.p)
        for probability in self.flip:
            check_probability("flip", probability)

    def draw(self, generator: torch.Generator, spatial_dims: int) -> Float[Tensor, "parameter"]:
        """Return angles in radians, the factor, shifts as shares, and signs of the axes."""
        largest = self.rotation_deg
        angles = torch.tensor(largest if isinstance(largest, tuple) else (largest,) * 3)
        angles = angles.deg2rad() * uniform(generator, -1, 1, 3)
        scale = uniform(generator, *self.scale)
        shift = uniform(generator, -self.shift, self.shift, spatial_dims)
        flipped = uniform(generator, 0, 1, spatial_dims) < torch.tensor(self.flip[:spatial_dims])
        return torch.cat([angles, scale, shift, 1.0 - 2.0 * flipped])

    def matrix(
        self, parameters: Float[Tensor, "view parameter"], spatial: tuple[int, ...]
    ) -> Float[Tensor, "view row column"]:
        """Invert: things are mirrored, turned about i, j, k in turn, scaled, then shifted."""
        dims = len(spatial)
        angles, scale, shift, signs = parameters.split([3, 1, dims, dims], dim=1)
        turned = identity(len(parameters), 3)[:, :3, :3]
        for axis in range(3) if dims == 3 else (2,):
            turned = turned_about(axis, angles[:, axis]) @ turned
        forward = turned[:, :dims, :dims] * signs[:, None]
        back = forward.mT / scale[..., None]
        matrix = identity(len(parameters), dims)
        matrix[:, :dims, :dims] = back
        shift_vox = shift * torch.tensor(spatial)
        matrix[:, :dims, dims] = -(back @ shift_vox[..., None])[..., 0]
        return matrix
