"""What will be done to a batch of views: drawn in one place, before any of it is done.

Each view has a generator of its own, seeded by the crop; the operations draw from it in their
order, on the CPU, so that an operation's draws do not depend on those after it.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from medssl.data.randomness import seed_of, stream
from medssl.data.views import (
    BatchOperation,
    BendingOperation,
    IntensityOperation,
    MovingOperation,
    ViewOperation,
)
from medssl.data.views._shared import identity
from medssl.errors import ConfigError


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
