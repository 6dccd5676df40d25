"""What augmentation makes of crops: batched, on the device that the batch is on.

A member of this family is one operation: a frozen dataclass that draws a row of parameters
for a view from a generator it is given, and does to all views at once what their rows say.
Drawing and doing are apart, so that a batch gives what each view alone gives.

There are two kinds. A `MovingOperation` says from where voxels come; the moves of a list are
composed in its order and cost one resampling, before any intensity changes. An
`IntensityOperation` changes what voxels hold. `medssl.data.augment` applies them, and leaves
out the views that an operation's probability `p` spares: these stay as they are, bit for bit.
"""

from collections.abc import Sequence
from typing import NamedTuple, Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor


class Views(NamedTuple):
    """Views of the items of a batch, as methods take them; items are in the batch's order.

    Args:
        images: The views.
        volume: Number of the case among the batch's.
        part: In which part of its case the item lies.
        subject: Equal where two items are of one subject.
    """

    images: Float[Tensor, "view item channel *spatial"]
    volume: Int[Tensor, "item"]
    part: Int[Tensor, "item"]
    subject: Int[Tensor, "item"]


class LabeledViews(NamedTuple):
    """Augmented crops with their labels, as supervised methods take them."""

    image: Float[Tensor, "item channel *spatial"]
    label: Int[Tensor, "item *spatial"]


@runtime_checkable
class ViewOperation(Protocol):
    """One kind of augmentation: a `MovingOperation` or an `IntensityOperation`."""

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
