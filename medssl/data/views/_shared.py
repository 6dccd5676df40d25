"""What operations have in common: checks of arguments, and shapes that broadcast."""

import torch
from jaxtyping import Float
from torch import Tensor


def check_probability(name: str, value: float) -> None:
    """Refuse what is no probability."""
    if not 0 <= value <= 1:
        msg = f"{name} must be in [0, 1], got {value}"
        raise ValueError(msg)


def check_range(name: str, bounds: tuple[float, float], *, above: float = -float("inf")) -> None:
    """Refuse a pair whose second is below the first, or whose first is not above a limit."""
    low, high = bounds
    if not above < low <= high:
        msg = f"{name} must be (low, high) with {above} < low <= high, got {bounds}"
        raise ValueError(msg)


def column(
    parameters: Float[Tensor, "view parameter"], number: int, images: Float[Tensor, "view *image"]
) -> Float[Tensor, "view *one"]:
    """Return a parameter of each view such that it broadcasts over the view's voxels."""
    return parameters[:, number].reshape(-1, *(1,) * (images.ndim - 1))


def spatial_axes(images: Float[Tensor, "view channel *spatial"]) -> tuple[int, ...]:
    """Return the numbers of the spatial axes."""
    return tuple(range(2, images.ndim))


def identity(views: int, spatial_dims: int) -> Float[Tensor, "{views} row column"]:
    """Return the matrices that leave each view where it is."""
    return torch.eye(spatial_dims + 1).repeat(views, 1, 1)


def turned_about(axis: int, angle: Float[Tensor, "view"]) -> Float[Tensor, "view 3 3"]:
    """Return turns about an axis, from the next axis towards the one after it."""
    matrix = identity(len(angle), 2)
    following, last = (axis + 1) % 3, (axis + 2) % 3
    matrix[:, following, following] = matrix[:, last, last] = angle.cos()
    matrix[:, last, following] = angle.sin()
    matrix[:, following, last] = -angle.sin()
    return matrix


def along(
    axis: int,
    images: Float[Tensor, "view channel *spatial"],
    weights: Float[Tensor, "view size size"],
) -> Float[Tensor, "view channel *spatial"]:
    """Return what each voxel of an axis is, by how much each voxel of its line counts in it.

    The image is not turned, which would cost as much as the products.
    """
    if axis == images.ndim - 1:
        changed = images.flatten(1, -2) @ weights.mT
    else:
        changed = weights[:, None] @ images.flatten(1, axis - 1).flatten(3)
    return changed.reshape(images.shape)
