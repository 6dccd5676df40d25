"""Which voxels of two views are the same place of a case.

A view's voxel x, counted from the first, lies in its case at matrix @ (x + bend(x), 1). The way
back undoes the matrix and then the bend, which is small and folds nothing, by going back and
forth until it is found.
"""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from medssl.data.views import Views
from medssl.data.views._splines import at

# Of bends as strong as `elastic` allows, random and regular ones, these leave 1e-4 voxels at most.
ROUNDS = 24
OFF_PLANE_VOX = 0.5  # from here on a point is of another slice


class Found(NamedTuple):
    """Places of one view in another.

    Args:
        places: In voxels of the other view, counted from the first.
        inside: Whether the other view has them.
    """

    places: Float[Tensor, "item point axis"]
    inside: Bool[Tensor, "item point"]


def places_in_case(
    views: Views, view: int, points: Float[Tensor, "item point axis"]
) -> Float[Tensor, "item point 3"]:
    """Return where in their cases points of a view lie, in voxels along i, j and k."""
    bent = points + _bend(views, view, points)
    matrix = views.matrix[view]
    return _times(matrix[..., :-1], bent) + matrix[:, None, :, -1]


def correspond(
    one: tuple[Views, int], other: tuple[Views, int], points: Float[Tensor, "item point axis"]
) -> Found:
    """Return where points of one view lie in another view of the same items.

    A slice has the points of its own plane alone.

    Args:
        one: Views, and which of them.
        other: The same, or those of another size, and which of them.
        points: Voxels of the one view, counted from the first.
    """
    views, view = other
    matrix = views.matrix[view]
    linear = matrix[..., :-1]
    aimed = places_in_case(*one, points) - matrix[:, None, :, -1]
    straight = _times(torch.linalg.pinv(linear), aimed)
    in_plane = ((_times(linear, straight) - aimed).abs() < OFF_PLANE_VOX).all(-1)
    found = straight
    if views.bend.numel():
        for _ in range(ROUNDS):
            found = straight - _bend(views, view, found)
    last = torch.tensor(views.images.shape[3:], device=points.device) - 0.5
    inside = ((found >= -0.5) & (found <= last)).all(-1)
    return Found(found, inside & in_plane)


def grid(views: Views) -> Float[Tensor, "item point axis"]:
    """Return every voxel of a view as a point, for each item; k runs fastest."""
    spatial = views.images.shape[3:]
    axes = [torch.arange(size, device=views.images.device).float() for size in spatial]
    points = torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1).reshape(-1, len(spatial))
    return points.expand(views.images.shape[1], -1, -1)


def _times(
    matrix: Float[Tensor, "item row column"], points: Float[Tensor, "item point column"]
) -> Float[Tensor, "item point row"]:
    """Multiply by sums: on a GPU a product may run in TF32, too coarse for places."""
    return (matrix[:, None] * points[:, :, None]).sum(-1)


def _bend(
    views: Views, view: int, points: Float[Tensor, "item point axis"]
) -> Float[Tensor, "item point axis"]:
    if not views.bend.numel():
        return torch.zeros_like(points)
    return at(views.bend[view], points, tuple(views.images.shape[3:]))
