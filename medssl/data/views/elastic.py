"""Elastic: a smooth field of small displacements.

Source: Rueckert et al., "Nonrigid registration using free-form deformations", IEEE TMI 1999;
Choi and Lee, "Injectivity conditions of 2D and 3D uniform cubic B-spline functions", Graphical
Models 2000: displacements of control points below 0.4 of their spacing fold nothing.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from medssl.data.randomness import uniform
from medssl.data.views._shared import check_probability, check_range

__all__ = ["Elastic"]

FOLDS = 0.4  # from here on, as a share of the spacing of control points


@dataclass(frozen=True, kw_only=True)
class Elastic:
    """Control points on a grid, each displaced evenly within a box of its own view's size.

    Args:
        strength: Smallest and largest displacement along an axis that a view allows, as a share
            of the control points' spacing.
        control: How many control points there are along an axis.
        p: Probability that a view is touched at all.
    """

    strength: tuple[float, float] = (0.0, 0.3)
    control: int = 5
    p: float = 1.0

    def __post_init__(self) -> None:
        check_range("strength", self.strength)
        check_probability("p", self.p)
        if not 0 <= self.strength[0] <= self.strength[1] < FOLDS:
            msg = f"strength must be in [0, {FOLDS}), where nothing folds, got {self.strength}"
            raise ValueError(msg)
        if self.control < 2:
            msg = f"control must be at least 2 points along an axis, got {self.control}"
            raise ValueError(msg)

    def draw(self, generator: torch.Generator, spatial_dims: int) -> Float[Tensor, "parameter"]:
        """Return the displacements along each axis at each control point, in their spacing."""
        strength = uniform(generator, *self.strength)
        return strength * uniform(generator, -1, 1, spatial_dims * self.control**spatial_dims)

    def bend(
        self, parameters: Float[Tensor, "view parameter"], spatial: tuple[int, ...]
    ) -> Float[Tensor, "view axis *control"]:
        """Return the displacements in voxels."""
        shares = parameters.reshape(-1, len(spatial), *(self.control,) * len(spatial))
        spacing = (torch.tensor(spatial) - 1) / (self.control - 1)
        return shares * spacing.reshape(-1, *(1,) * len(spatial))
