"""One movement: a small turn, a small scaling, a mirror image, a turn by eighths, or nothing.

Source: Chaitanya, Erdil, Karani, Konukoglu, "Contrastive learning of global and local features
for medical image segmentation with limited annotations", NeurIPS 2020, arXiv:2006.10511; what its
released code fine-tunes with.
Departs from the paper: the factor is not rounded; volumes move in their plane of i and j.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from medssl.data.randomness import uniform
from medssl.data.views._shared import check_probability, check_range, identity, turned_about

__all__ = ["OneMovement"]

TURN, SCALE, MIRROR, EIGHTHS, NOTHING = range(5)


@dataclass(frozen=True, kw_only=True)
class OneMovement:
    """One of five, each as likely, about the middle of the image; never two at once.

    Args:
        rotation_deg: Largest small turn about k.
        scale: Smallest and largest factor in the plane; above 1 things get larger.
        p: Probability that a view is touched at all.
    """

    rotation_deg: float = 15.0
    scale: tuple[float, float] = (0.95, 1.05)
    p: float = 1.0

    def __post_init__(self) -> None:
        check_range("scale", self.scale, above=0)
        check_probability("p", self.p)

    def draw(self, generator: torch.Generator, spatial_dims: int) -> Float[Tensor, "parameter"]:
        """Return which movement, the small angle, the factor, the mirror's chance, the eighths."""
        return torch.cat(
            [
                torch.randint(5, (1,), generator=generator).float(),
                uniform(generator, -self.rotation_deg, self.rotation_deg),
                uniform(generator, *self.scale),
                torch.rand(1, generator=generator),
                torch.randint(8, (1,), generator=generator).float(),
            ]
        )

    def matrix(
        self, parameters: Float[Tensor, "view parameter"], spatial: tuple[int, ...]
    ) -> Float[Tensor, "view row column"]:
        """Invert the movement that was drawn."""
        dims = len(spatial)
        which, angle, scale, chance, eighths = parameters.unbind(1)
        degrees = torch.where(which == TURN, angle, 45 * eighths * (which == EIGHTHS))
        factor = torch.where(which == SCALE, scale, 1.0)
        sign = torch.where((which == MIRROR) & (chance < 0.5), -1.0, 1.0)
        matrix = identity(len(parameters), dims)
        plane = turned_about(2, -degrees.deg2rad())[:, :2, :2] / factor[:, None, None]
        matrix[:, :2, :2] = plane
        matrix[:, 0, 0] *= sign
        return matrix
