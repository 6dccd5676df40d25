"""From crops to views: draw for each view, then do it to all at once on their device.

Each view has a generator of its own, seeded by the crop; the operations draw from it in their
order, on the CPU, so that an operation's draws do not depend on those after it. What they
drew is a `Plan`, and carrying it out needs no generator but the noise's.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812
from jaxtyping import Float
from torch import Tensor

from medssl.data.crops import Crops, LabeledCrops
from medssl.data.randomness import seed_of, stream
from medssl.data.views import (
    IntensityOperation,
    LabeledViews,
    MovingOperation,
    ViewOperation,
    Views,
)
from medssl.data.views._shared import identity


class Change(NamedTuple):
    """What an intensity operation does: to which views, by which parameters, on the CPU."""

    operation: IntensityOperation
    views: list[int]
    parameters: Float[Tensor, "chosen parameter"]
    seeds: list[int]


class Plan(NamedTuple):
    """What will be done to a batch of views.

    Args:
        moved: The views that move.
        matrices: Where their voxels come from, on the CPU; see `MovingOperation.matrix`.
        changes: What changes their intensities, in order.
    """

    moved: list[int]
    matrices: Float[Tensor, "moved row column"]
    changes: list[Change]


def augment(crops: Crops, operations: Sequence[ViewOperation], *, plain_views: int = 0) -> Views:
    """Return the augmented views of a batch; the first `plain_views` of each item stay as cut.

    The crops are on the device that the views shall be on, but for their seeds.
    """
    images = crops.image.transpose(0, 1).float()
    plain, changing = images[:plain_views], images[plain_views:]
    seeds = crops.seed.T[plain_views:].flatten().tolist()
    planned = plan(operations, seeds, tuple(images.shape[3:]))
    augmented = carry_out(planned, changing.flatten(0, 1)).unflatten(0, changing.shape[:2])
    return Views(
        images=torch.cat([plain, augmented]) if plain_views else augmented,
        volume=crops.volume,
        part=crops.part,
        subject=crops.subject,
    )


def augment_labeled(crops: LabeledCrops, operations: Sequence[ViewOperation]) -> LabeledViews:
    """Return augmented crops; labels move with their image, background comes in at the border."""
    planned = plan(operations, crops.seed.tolist(), tuple(crops.label.shape[1:]))
    label = move(crops.label[:, None].float(), planned, mode="nearest")[:, 0]
    return LabeledViews(carry_out(planned, crops.image.float()), label.to(crops.label.dtype))


def plan(
    operations: Sequence[ViewOperation], seeds: Sequence[int], spatial: tuple[int, ...]
) -> Plan:
    """Draw what will be done to the views of these seeds."""
    generators = [stream(seed) for seed in seeds]
    matrices = still = identity(len(seeds), len(spatial))
    changes = []
    for position, operation in enumerate(operations if seeds else ()):
        chances = torch.stack([torch.rand((), generator=each) for each in generators])
        parameters = torch.stack([operation.draw(each, len(spatial)) for each in generators])
        touched = chances < operation.p
        if isinstance(operation, MovingOperation):
            moving = operation.matrix(parameters, spatial)
            matrices = matrices @ torch.where(touched[:, None, None], moving, still)
        elif isinstance(operation, IntensityOperation):
            views = touched.nonzero()[:, 0].tolist()
            fields = [seed_of(seeds[view], position) for view in views]
            changes.append(Change(operation, views, parameters[touched], fields))
    moved = (matrices != still).any(2).any(1)
    return Plan(moved.nonzero()[:, 0].tolist(), matrices[moved], changes)


@torch.no_grad()
def carry_out(
    planned: Plan, images: Float[Tensor, "view channel *spatial"]
) -> Float[Tensor, "view channel *spatial"]:
    """Return the views that a plan makes of these images."""
    images = move(images, planned, mode="bilinear")
    for operation, views, parameters, seeds in planned.changes:
        if views:
            chosen = _take(images, views)
            changed = operation.apply(chosen, parameters.to(images.device), seeds)
            images = _put(images, views, changed)
    return images


def move(
    images: Float[Tensor, "view channel *spatial"],
    planned: Plan,
    *,
    mode: Literal["bilinear", "nearest"],
) -> Float[Tensor, "view channel *spatial"]:
    """Resample the views that move; what comes from beyond the border is 0."""
    if not planned.moved:
        return images
    chosen = _take(images, planned.moved)
    grid = _sampling_grid(planned.matrices.to(images.device), tuple(images.shape[2:]))
    resampled = F.grid_sample(chosen, grid, mode=mode, padding_mode="zeros", align_corners=False)
    return _put(images, planned.moved, resampled)


def _sampling_grid(
    matrices: Float[Tensor, "view row column"], spatial: tuple[int, ...]
) -> Float[Tensor, "view *spatial axis"]:
    """Return for each voxel where it comes from, as `grid_sample` counts: k first, in [-1, 1].

    Sums of rows rather than `affine_grid`, which is a matrix product: on a GPU that may run in
    TF32, whose 10 bits are not enough for a place among hundreds of voxels.
    """
    axes = range(len(spatial))
    coordinates = []
    for axis in reversed(axes):
        place = matrices[:, axis, -1].reshape(-1, *(1 for _ in axes))
        for other in axes:
            size = spatial[other]
            offsets = torch.arange(size, device=matrices.device) - (size - 1) / 2
            shape = [size if each == other else 1 for each in axes]
            term = matrices[:, axis, other, None] * offsets
            place = place + term.reshape(len(matrices), *shape)
        coordinates.append(place * (2 / spatial[axis]))
    return torch.stack(torch.broadcast_tensors(*coordinates), dim=-1)


def _take(
    images: Float[Tensor, "view channel *spatial"], views: list[int]
) -> Float[Tensor, "chosen channel *spatial"]:
    if len(views) == len(images):
        return images
    return images.index_select(0, torch.tensor(views, device=images.device))


def _put(
    images: Float[Tensor, "view channel *spatial"],
    views: list[int],
    changed: Float[Tensor, "chosen channel *spatial"],
) -> Float[Tensor, "view channel *spatial"]:
    if len(views) == len(images):
        return changed
    return images.index_copy(0, torch.tensor(views, device=images.device), changed)
