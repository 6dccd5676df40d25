"""Which pieces of which case a batch is made of.

A member is a dataset whose rows are (epoch, row) draws: `source[epoch, row]` reads the pieces
of one case, and `stack` joins those of several cases to a batch. Where a piece lies is a
function of (seed, epoch, case, view) and of nothing else; a case counts by its digest, so that
an archive gives the same draws under every key of its pseudonyms. What is cut is not augmented
yet: that happens batched and on the device, in `medssl.data.views`, from the batch's `seed`.
"""

from collections.abc import Sequence
from typing import NamedTuple, Protocol, cast, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from medssl.errors import DataError


class Crops(NamedTuple):
    """Pieces of several cases, an item each, as often as there are views of it.

    An item is what views are of: a place in a case (a part, or the whole of it).

    Args:
        image: Normalized intensities.
        start: The first voxel of each view in its case, along i, j and k.
        axes: Along which of i, j and k (0, 1, 2) each axis of a view runs.
        seed: Where the augmentation of each view begins; stays on the CPU.
        volume: Number of the case among the batch's, counted from 0.
        part: In which of the partition's parts the item lies; 0 where there is no partition.
        subject: Equal where two items are of one subject.
        extent: Voxels of the item's case along i, j and k.
    """

    image: Float[Tensor, "item view channel *spatial"]
    start: Int[Tensor, "item view 3"]
    axes: Int[Tensor, "item view axis"]
    seed: Int[Tensor, "item view"]
    volume: Int[Tensor, "item"]
    part: Int[Tensor, "item"]
    subject: Int[Tensor, "item"]
    extent: Int[Tensor, "item 3"]


class MultiCrops(NamedTuple):
    """Pieces of two sizes of the same items, in the same order.

    Args:
        global_crops: Few large ones.
        local_crops: More, smaller ones.
    """

    global_crops: Crops
    local_crops: Crops


class GroupedCrops(NamedTuple):
    """Pieces of cases of two groups.

    Args:
        crops: The pieces.
        is_target: Which items are of the target group, and not of the background.
        attributes: What is known of each target, an attribute a column; 0 of the background.
    """

    crops: Crops
    is_target: Bool[Tensor, "item"]
    attributes: Float[Tensor, "item attribute"]


class LabeledCrops(NamedTuple):
    """Pieces of several cases with their labels; class 0 is the background.

    Args:
        image: Normalized intensities.
        label: The class of each voxel.
        seed: Where the augmentation of each begins; stays on the CPU.
        is_pseudo: Of which a network drew the label; stays on the CPU.
    """

    image: Float[Tensor, "item channel *spatial"]
    label: Int[Tensor, "item *spatial"]
    seed: Int[Tensor, "item"]
    is_pseudo: Bool[Tensor, "item"]


Pieces = Crops | MultiCrops | LabeledCrops


@runtime_checkable
class CropSource(Protocol):
    """Pieces of the cases of a manifest.

    Attributes:
        spatial_dims: 3 for crops, 2 for slices.
        in_channels: Of a piece.
    """

    spatial_dims: int
    in_channels: int

    def __getitem__(self, draw: tuple[int, int]) -> Pieces:
        """Return the pieces of case `row` in `epoch`, as a batch of one case."""
        ...


def grouped(
    crops: Crops,
    is_target: Bool[Tensor, "volume"],
    attributes: Float[Tensor, "volume attribute"],
) -> GroupedCrops:
    """Return the crops of cases of two groups.

    Args:
        crops: Of a batch.
        is_target: Which of the batch's cases are targets.
        attributes: What is known of each of these.

    Raises:
        DataError: If a batch has no target, or no background: estimates over a group need it.
    """
    if is_target.all() or not is_target.any():
        msg = (
            f"expected targets and background in a batch, got {int(is_target.sum())} targets "
            f"among {len(is_target)} cases; draw as many of either, or more at once"
        )
        raise DataError(msg)
    return GroupedCrops(crops, is_target[crops.volume], attributes[crops.volume])


def num_crops(pieces: Pieces | GroupedCrops) -> int:
    """Return how many crops there are, of all sizes."""
    if isinstance(pieces, GroupedCrops):
        return num_crops(pieces.crops)
    if isinstance(pieces, MultiCrops):
        return sum(map(num_crops, pieces))
    return pieces.seed.numel()


def stack(cases: Sequence[Pieces]) -> Pieces:
    """Join the pieces of several cases; `volume` counts the cases."""
    if isinstance(cases[0], MultiCrops):
        return MultiCrops(*(cast(Crops, stack(kind)) for kind in zip(*cases, strict=True)))
    joined = type(cases[0])(*(torch.cat(parts) for parts in zip(*cases, strict=True)))
    if isinstance(joined, LabeledCrops):
        return joined
    lengths = torch.tensor([len(case.volume) for case in cast(Sequence[Crops], cases)])
    return joined._replace(volume=torch.arange(len(cases)).repeat_interleave(lengths))
