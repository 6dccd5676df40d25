"""What augmentation makes of crops: batched, on the device that the batch is on.

A member of this family is one operation: a frozen dataclass that draws a row of parameters
for a view from a generator it is given, and does to all views at once what their rows say.
Drawing and doing are apart, so that a batch gives what each view alone gives.

There are four kinds. A `MovingOperation` says from where voxels come by a matrix, a
`BendingOperation` by a smooth field; the matrices of a list are composed in its order, a field
bends what comes of them, and all cost one resampling, before any intensity changes. An
`IntensityOperation` changes what voxels hold. A `BatchOperation` does that, too, but looks at
all items of a view: of it alone a view is no function of its own seed. `medssl.data.augment`
applies them, and leaves out the views that an operation's probability `p` spares: these stay as
they are, bit for bit.
"""

from collections.abc import Sequence
from typing import NamedTuple, Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor


class Views(NamedTuple):
    """Views of the items of a batch, as methods take them; items are in the batch's order.

    `medssl.data.correspondence` says what `matrix` and `bend` mean for a voxel.

    Args:
        images: The views.
        volume: Number of the case among the batch's.
        part: In which part of its case the item lies.
        subject: Equal where two items are of one subject.
        matrix: From voxels of a view, counted from the first, to voxels of its case.
        bend: Displacements at control points, in voxels of the view; none where nothing bends.
        extent: Voxels of the item's case along i, j and k.
    """

    images: Float[Tensor, "view item channel *spatial"]
    volume: Int[Tensor, "item"]
    part: Int[Tensor, "item"]
    subject: Int[Tensor, "item"]
    matrix: Float[Tensor, "view item 3 column"]
    bend: Float[Tensor, "view item axis *control"]
    extent: Int[Tensor, "item 3"]


class MultiViews(NamedTuple):
    """Views of two sizes of the same items, in the same order."""

    global_views: Views
    local_views: Views


class GroupedViews(NamedTuple):
    """Views of items of two groups.

    Args:
        views: Of the items.
        is_target: Which items are of the target group, and not of the background.
        attributes: What is known of each target, an attribute a column; 0 of the background.
        is_categorical: Which attributes are classes, by number, and which are continuous.
    """

    views: Views
    is_target: Bool[Tensor, "item"]
    attributes: Float[Tensor, "item attribute"]
    is_categorical: Bool[Tensor, "attribute"]


class LabeledViews(NamedTuple):
    """Augmented crops with their labels, as supervised methods take them.

    Args:
        image: The crops; where they are blended, each with another one.
        label: The class of each voxel.
        is_pseudo: Of which a network drew the label; on the CPU.
        blended_label: That of the crop which was blended in; None where none was.
        share: How much of a blended image is its own; its own label's loss weighs as much.
    """

    image: Float[Tensor, "item channel *spatial"]
    label: Int[Tensor, "item *spatial"]
    is_pseudo: Bool[Tensor, "item"]
    blended_label: Int[Tensor, "item *spatial"] | None = None
    share: float = 1.0


@runtime_checkable
class ViewOperation(Protocol):
    """One augmentation, of one of the four kinds."""

    @property
    def p(self) -> float:
        """Probability that the operation touches a view at all."""
        ...

    def draw(self, generator: torch.Generator, spatial_dims: int) -> Float[Tensor, "parameter"]:
        """Return one view's parameters, on the CPU, from as many draws whatever they are."""
        ...


@runtime_checkable
class MovingOperation(ViewOperation, Protocol):
    """An operation that moves voxels, and a label's with them."""

    def matrix(
        self, parameters: Float[Tensor, "view parameter"], spatial: tuple[int, ...]
    ) -> Float[Tensor, "view row column"]:
        """Return, on the CPU, where each voxel comes from.

        A square matrix of one row more than there are axes, on homogeneous voxel coordinates
        counted from the middle of the image: place before = matrix @ place after.
        """
        ...


@runtime_checkable
class BendingOperation(ViewOperation, Protocol):
    """An operation that bends the grid, and a label's with it."""

    def bend(
        self, parameters: Float[Tensor, "view parameter"], spatial: tuple[int, ...]
    ) -> Float[Tensor, "view axis *control"]:
        """Return, on the CPU, displacements of control points in voxels of the view.

        Place before = matrix @ (place after + the field's value there).
        """
        ...


@runtime_checkable
class IntensityOperation(ViewOperation, Protocol):
    """An operation that changes what voxels hold, and leaves a label alone."""

    def apply(
        self,
        images: Float[Tensor, "view channel *spatial"],
        parameters: Float[Tensor, "view parameter"],
        seeds: Sequence[int],
    ) -> Float[Tensor, "view channel *spatial"]:
        """Return changed float32 views; `seeds` begin what is drawn on the device for each."""
        ...


@runtime_checkable
class BatchOperation(ViewOperation, Protocol):
    """An operation that changes what voxels hold by what the other items of the view hold.

    It is drawn once for a view-batch: the same view of all items that are on this device. Where
    ranks divide a batch, each has view-batches of its own. `p` touches it as a whole.
    """

    def apply_together(
        self,
        images: Float[Tensor, "view item channel *spatial"],
        parameters: Float[Tensor, "view parameter"],
    ) -> Float[Tensor, "view item channel *spatial"]:
        """Return changed float32 views; there is a row of parameters for each view-batch."""
        ...
