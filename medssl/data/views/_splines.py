"""Smooth fields from a few numbers: cubic B-splines over control points on a grid.

Source: Rueckert et al., "Nonrigid registration using free-form deformations", IEEE TMI 1999.
Control points lie evenly from the first voxel to the last; beyond them a field fades to 0.
"""

import torch
from jaxtyping import Float
from torch import Tensor


def weights(
    places: Float[Tensor, "*batch"], size: int, count: int
) -> Float[Tensor, "*batch {count}"]:
    """Return how much each control point of an axis counts at some places.

    Args:
        places: In voxels from the first one.
        size: Voxels along the axis.
        count: Control points along it, at least 2.
    """
    spacing = max(size - 1, 1) / (count - 1)
    points = torch.arange(count, device=places.device)
    distance = (places[..., None] / spacing - points).abs()
    near = 2 / 3 - distance.square() * (1 - distance / 2)
    far = (2 - distance).clamp(min=0).pow(3) / 6
    return torch.where(distance < 1, near, far)


def spread(
    control: Float[Tensor, "view axis *control"], spatial: tuple[int, ...]
) -> Float[Tensor, "view axis *spatial"]:
    """Return the field at every voxel of images of this size."""
    field = control
    for axis, size in enumerate(spatial, start=2):
        places = torch.arange(size, device=control.device, dtype=control.dtype)
        along = weights(places, size, control.shape[axis])
        field = (field.movedim(axis, -1) @ along.mT).movedim(-1, axis)
    return field


def at(
    control: Float[Tensor, "view axis *control"],
    places: Float[Tensor, "view point axis"],
    spatial: tuple[int, ...],
) -> Float[Tensor, "view point axis"]:
    """Return the field at some places of each view."""
    field = control.unsqueeze(1)  # view, point, axis, *control
    for number, size in reversed(list(enumerate(spatial))):
        along = weights(places[..., number], size, control.shape[2 + number])
        field = torch.einsum(
            "vp...c,vpc->vp...", field.expand(-1, along.shape[1], *field.shape[2:]), along
        )
    return field
