"""From crops to views: draw for each view, then do it to all at once on their device.

Each view has a generator of its own, seeded by the crop; the operations draw from it in their
order, on the CPU, so that an operation's draws do not depend on those after it. What they
drew is a `Plan`, and carrying it out needs no generator but the noise's.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812
from jaxtyping import Float
from torch import Tensor

from medssl.data.crops import Crops, LabeledCrops, MultiCrops
from medssl.data.randomness import seed_of, stream
from medssl.data.views import (
    BatchOperation,
    BendingOperation,
    IntensityOperation,
    LabeledViews,
    MovingOperation,
    MultiViews,
    ViewOperation,
    Views,
)
from medssl.data.views._shared import identity
from medssl.data.views._splines import spread
from medssl.errors import ConfigError

# On a CPU, views of so many bytes are worked on at a time. The memory of larger ones goes back to
# the system after each operation, and the next one's is emptied page by page: of 16 views of 64^3
# at once that was 40 % of the time.
PIECE_BYTES = 1 << 22
FEWEST_VIEWS = 2  # of one view alone matrix products may differ in the last bit


class Change(NamedTuple):
    """What an operation does: to which views, by which parameters, on the CPU.

    A `BatchOperation` has a row of parameters for each view-batch, whose views are in order.
    """

    operation: IntensityOperation | BatchOperation
    views: list[int]
    parameters: Float[Tensor, "row parameter"]
    seeds: list[int]


class Plan(NamedTuple):
    """What will be done to a batch of views.

    Args:
        moved: The views that move.
        matrices: Where their voxels come from, on the CPU; see `MovingOperation.matrix`.
        bends: How the grids of these bend, on the CPU; see `BendingOperation.bend`.
        changes: What changes their intensities, in order.
    """

    moved: list[int]
    matrices: Float[Tensor, "moved row column"]
    bends: Float[Tensor, "moved axis *control"]
    changes: list[Change]


Work = Callable[[Plan, Tensor], Tensor]


def augment(crops: Crops, operations: Sequence[ViewOperation], *, plain_views: int = 0) -> Views:
    """Return the augmented views of a batch; the first `plain_views` of each item stay as cut.

    The crops are on the device that the views shall be on, but for their seeds.
    """
    images = crops.image.transpose(0, 1).float()
    plain, changing = images[:plain_views], images[plain_views:]
    seeds = crops.seed.T[plain_views:].flatten().tolist()
    planned = plan(operations, seeds, tuple(images.shape[3:]), batches=max(len(changing), 1))
    augmented = carry_out(planned, changing.flatten(0, 1)).unflatten(0, changing.shape[:2])
    matrix, bend = _places(planned, crops, plain_views)
    return Views(
        images=torch.cat([plain, augmented]) if plain_views else augmented,
        volume=crops.volume,
        part=crops.part,
        subject=crops.subject,
        matrix=matrix,
        bend=bend,
    )


def augment_multi(
    crops: MultiCrops, operations: Sequence[ViewOperation], *, plain_views: int = 0
) -> MultiViews:
    """Return the augmented views of both sizes; the first global ones may stay as cut."""
    return MultiViews(
        augment(crops.global_crops, operations, plain_views=plain_views),
        augment(crops.local_crops, operations),
    )


def augment_labeled(crops: LabeledCrops, operations: Sequence[ViewOperation]) -> LabeledViews:
    """Return augmented crops; labels move with their image, background comes in at the border."""
    planned = plan(operations, crops.seed.tolist(), tuple(crops.label.shape[1:]))
    nearest = partial(_moved, mode="nearest")
    label = _by_pieces(nearest, planned, crops.label[:, None].float())[:, 0]
    return LabeledViews(carry_out(planned, crops.image.float()), label.to(crops.label.dtype))


def plan(
    operations: Sequence[ViewOperation],
    seeds: Sequence[int],
    spatial: tuple[int, ...],
    *,
    batches: int = 1,
) -> Plan:
    """Draw what will be done to the views of these seeds, which are of so many view-batches."""
    generators = [stream(seed) for seed in seeds]
    matrices = still = identity(len(seeds), len(spatial))
    bends = torch.zeros(len(seeds), len(spatial), *(0 for _ in spatial))
    changes = []
    for position, operation in enumerate(operations if seeds else ()):
        if isinstance(operation, BatchOperation):
            changes.append(_together(operation, position, seeds, len(spatial), batches))
            continue
        chances = torch.stack([torch.rand((), generator=each) for each in generators])
        parameters = torch.stack([operation.draw(each, len(spatial)) for each in generators])
        touched = chances < operation.p
        if isinstance(operation, MovingOperation):
            moving = operation.matrix(parameters, spatial)
            matrices = matrices @ torch.where(touched[:, None, None], moving, still)
        elif isinstance(operation, BendingOperation):
            if bends.numel():
                msg = "views: expected at most one operation that bends the grid, got several"
                raise ConfigError(msg)
            bends = operation.bend(parameters, spatial)
            bends = bends * touched.reshape(-1, *(1 for _ in bends.shape[1:]))
        elif isinstance(operation, IntensityOperation):
            views = touched.nonzero()[:, 0].tolist()
            fields = [seed_of(seeds[view], position) for view in views]
            changes.append(Change(operation, views, parameters[touched], fields))
    moved = (matrices != still).any(2).any(1) | (bends != 0).flatten(1).any(1)
    return Plan(moved.nonzero()[:, 0].tolist(), matrices[moved], bends[moved], changes)


def _together(
    operation: BatchOperation, position: int, seeds: Sequence[int], spatial_dims: int, batches: int
) -> Change:
    """Draw for each view-batch, from a generator that is a function of all of its seeds."""
    count = len(seeds) // batches
    views: list[int] = []
    parameters = []
    for start in range(0, len(seeds), count):
        generator = stream(*seeds[start : start + count], position)
        chance = torch.rand((), generator=generator)
        drawn = operation.draw(generator, spatial_dims)
        if chance < operation.p:
            views += range(start, start + count)
            parameters.append(drawn)
    return Change(operation, views, torch.stack(parameters or [torch.empty(0)]), [])


def _places(
    planned: Plan, crops: Crops, plain_views: int
) -> tuple[Float[Tensor, "view item 3 column"], Float[Tensor, "view item axis *control"]]:
    """Return where voxels of views lie in their cases: a matrix and a bend for each view."""
    start, axes = crops.start.transpose(0, 1), crops.axes.transpose(0, 1)
    spatial = crops.image.shape[3:]
    dims, count = len(spatial), start.shape[0] * start.shape[1]
    rows = [plain_views * start.shape[1] + view for view in planned.moved]
    matrices = identity(count, dims)
    matrices[rows] = planned.matrices
    bends = planned.bends.new_zeros(count, *planned.bends.shape[1:])
    bends[rows] = planned.bends
    # From the middle of the image to its first voxel, on both sides.
    middle = (torch.tensor(spatial) - 1) / 2
    linear = matrices[:, :dims, :dims]
    offset = matrices[:, :dims, dims] + middle - linear @ middle
    within = torch.cat([linear, offset[..., None]], dim=2).to(start.device)
    rows_of = axes.flatten(0, 1)[..., None].expand_as(within)
    matrix = within.new_zeros(count, 3, dims + 1).scatter(1, rows_of, within)
    matrix[:, :, dims] += start.flatten(0, 1)
    shape = start.shape[:2]
    return matrix.unflatten(0, shape), bends.to(start.device).unflatten(0, shape)


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
    grid = columns[-1].reshape(-1, *(1,) * dims, dims)
    for axis, size in enumerate(spatial):
        offsets = torch.arange(size, device=matrices.device) - (size - 1) / 2
        after = offsets.reshape(1, *(size if each == axis else 1 for each in range(dims)))
        after = after if field is None else after + field[:, axis]
        grid = grid + columns[axis].reshape(-1, *(1,) * dims, dims) * after[..., None]
    return grid


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
