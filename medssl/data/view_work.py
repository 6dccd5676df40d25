"""Doing to a batch of views what was planned, on the device that they are on.

No generator is needed but the noise's.
"""

from collections.abc import Callable
from functools import partial
from typing import Literal

import torch
import torch.nn.functional as F  # noqa: N812
from jaxtyping import Float
from torch import Tensor

from medssl.data.view_plans import Change, Plan
from medssl.data.views import BatchOperation
from medssl.data.views._splines import spread

# On a CPU, views of so many bytes are worked on at a time. The memory of larger ones goes back to
# the system after each operation, and the next one's is emptied page by page: of 16 views of 64^3
# at once that was 40 % of the time.
PIECE_BYTES = 1 << 22
FEWEST_VIEWS = 2  # of one view alone matrix products may differ in the last bit

Work = Callable[[Plan, Tensor], Tensor]


@torch.no_grad()
def carry_out(
    planned: Plan, images: Float[Tensor, "view channel *spatial"]
) -> Float[Tensor, "view channel *spatial"]:
    """Return the views that a plan makes of these images."""
    todo = planned._replace(changes=[])
    for change in planned.changes:
        if isinstance(change.operation, BatchOperation):
            images = _changed(_by_pieces(_each_alone, todo, images), change)
            todo = _of(todo, 0, 0)
        else:
            todo.changes.append(change)
    return _by_pieces(_each_alone, todo, images)


@torch.no_grad()
def move_labels(
    planned: Plan, labels: Float[Tensor, "view channel *spatial"]
) -> Float[Tensor, "view channel *spatial"]:
    """Return labels moved as a plan moves their images, with background from beyond the border."""
    return _by_pieces(partial(_moved, mode="nearest"), planned, labels)


def _by_pieces(
    work: Work, planned: Plan, images: Float[Tensor, "view channel *spatial"]
) -> Float[Tensor, "view channel *spatial"]:
    """Have work done that does to each view what its plan says: on a CPU to few at a time."""
    count = max(FEWEST_VIEWS, PIECE_BYTES // max(images[:1].nbytes, 1))
    if images.device.type != "cpu" or count >= len(images):
        return work(planned, images)
    starts = range(0, len(images), count)
    pieces = [work(_of(planned, at, at + count), images[at : at + count]) for at in starts]
    return torch.cat(pieces)


def _of(planned: Plan, start: int, stop: int) -> Plan:
    """Return the plan of some of the views, which it counts from 0."""

    def within(views: list[int]) -> list[int]:
        return [row for row, view in enumerate(views) if start <= view < stop]

    moved = within(planned.moved)
    changes = [
        Change(
            change.operation,
            [change.views[row] - start for row in rows],
            change.parameters[rows],
            [change.seeds[row] for row in rows],
        )
        for change in planned.changes
        for rows in [within(change.views)]
    ]
    views = [planned.moved[row] - start for row in moved]
    return Plan(views, planned.matrices[moved], planned.bends[moved], changes)


def _each_alone(
    planned: Plan, images: Float[Tensor, "view channel *spatial"]
) -> Float[Tensor, "view channel *spatial"]:
    """Do what looks at no other view."""
    images = _moved(planned, images, mode="bilinear")
    for change in planned.changes:
        images = _changed(images, change)
    return images


def _changed(
    images: Float[Tensor, "view channel *spatial"], change: Change
) -> Float[Tensor, "view channel *spatial"]:
    operation, views, parameters, seeds = change
    if not views:
        return images
    chosen, there = _take(images, views), parameters.to(images.device)
    if isinstance(operation, BatchOperation):
        together = chosen.unflatten(0, (len(parameters), -1))
        return _put(images, views, operation.apply_together(together, there).flatten(0, 1))
    return _put(images, views, operation.apply(chosen, there, seeds))


def _moved(
    planned: Plan,
    images: Float[Tensor, "view channel *spatial"],
    *,
    mode: Literal["bilinear", "nearest"],
) -> Float[Tensor, "view channel *spatial"]:
    """Resample the views that move; what comes from beyond the border is 0."""
    if not planned.moved:
        return images
    chosen = _take(images, planned.moved)
    spatial = tuple(images.shape[2:])
    bends = planned.bends.to(images.device)
    grid = _sampling_grid(planned.matrices.to(images.device), bends, spatial)
    resampled = F.grid_sample(chosen, grid, mode=mode, padding_mode="zeros", align_corners=False)
    return _put(images, planned.moved, resampled)


def _sampling_grid(
    matrices: Float[Tensor, "view row column"],
    bends: Float[Tensor, "view axis *control"],
    spatial: tuple[int, ...],
) -> Float[Tensor, "view *spatial axis"]:
    """Return for each voxel where it comes from, as `grid_sample` counts: k first, in [-1, 1].

    Sums of rows rather than `affine_grid`, which is a matrix product: on a GPU that may run in
    TF32, whose 10 bits are not enough for a place among hundreds of voxels.
    """
    dims = len(spatial)
    field = spread(bends, spatial) if bends.numel() else None
    rows = [matrices[:, axis] * (2 / spatial[axis]) for axis in reversed(range(dims))]
    columns = torch.stack(rows, dim=1).unbind(2)
    ones = (1,) * dims
    # Coordinate by coordinate in memory: sums run along k, not along three numbers at a time.
    grid = columns[-1].reshape(-1, dims, *ones)
    for axis, size in enumerate(spatial):
        offsets = torch.arange(size, device=matrices.device) - (size - 1) / 2
        after = offsets.reshape(1, *(size if each == axis else 1 for each in range(dims)))
        after = after if field is None else after + field[:, axis]
        grid = grid + columns[axis].reshape(-1, dims, *ones) * after[:, None]
    return grid.movedim(1, -1)


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
