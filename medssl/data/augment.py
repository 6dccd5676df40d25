"""From crops to views: draw for each view, then do it to all at once on their device."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from medssl.data.crops import Crops, LabeledCrops, MultiCrops
from medssl.data.view_plans import Plan, plan
from medssl.data.view_work import carry_out, move_labels
from medssl.data.views import LabeledViews, MultiViews, ViewOperation, Views
from medssl.data.views._shared import identity


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
        extent=crops.extent,
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
    label = move_labels(planned, crops.label[:, None].float())[:, 0]
    return LabeledViews(
        carry_out(planned, crops.image.float()), label.to(crops.label.dtype), crops.is_pseudo
    )


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
