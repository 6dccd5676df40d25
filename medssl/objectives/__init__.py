"""What a self-supervised model minimizes.

An objective maps what a method computed (projections, dense features, prototypes) to
a `Loss`. It is pure mathematics: it imports torch and nothing of medssl but this file and the
solvers of `assignment`, holds no network, and reads no batch. One file, one paper, one class.
Its `forward` names what it takes of what the family's protocol offers, and computes in
`full_precision`; one with negatives takes `group` and leaves pairs of the same subject out, unless
labels tell what is a negative.
"""

from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any, NamedTuple, Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor


class Loss(NamedTuple):
    """Weighted terms, by name; a tuple of tensors, so that it crosses Fabric's wrapper.

    Args:
        terms: What adds up to the number that is minimized.
        notes: What is written down beside it, without a gradient.
    """

    terms: dict[str, Tensor]
    notes: dict[str, Tensor] = {}  # noqa: RUF012  # never filled after it was made

    @property
    def total(self) -> Float[Tensor, ""]:
        """The scalar to differentiate: the sum of the terms."""
        return torch.stack(tuple(self.terms.values())).sum()


@runtime_checkable
class PairObjective(Protocol):
    """An objective on the projections of two views of the same cases, row by row.

    A member may leave out any of the arguments; a method hands over those it names.
    """

    def __call__(
        self,
        z_a: Float[Tensor, "batch dim"],
        z_b: Float[Tensor, "batch dim"],
        group: Int[Tensor, "batch"],
    ) -> Loss:
        """Compare view a with view b of subjects `group`."""
        ...


@runtime_checkable
class LabeledPairObjective(Protocol):
    """An objective on the projections of two views of items whose labels are known, row by row.

    A member may leave out any of the arguments; a method hands over those it names.
    """

    def __call__(
        self,
        z_a: Float[Tensor, "item dim"],
        z_b: Float[Tensor, "item dim"],
        label: Int[Tensor, "item"] | Bool[Tensor, "item"],
    ) -> Loss:
        """Compare views a and b of items; equal labels are of one class."""
        ...


@runtime_checkable
class PartitionObjective(Protocol):
    """An objective on views of places in volumes, of which it is known which part they lie in.

    Attributes:
        num_views: How many views of each item it needs at least.
        volumes_multiple: What the number of volumes in a batch must be a multiple of.
    """

    num_views: int
    volumes_multiple: int

    def __call__(
        self,
        z: Float[Tensor, "view item dim"],
        volume: Int[Tensor, "item"],
        part: Int[Tensor, "item"],
        subject: Int[Tensor, "item"],
    ) -> Loss:
        """Compare the views of items, of which each is one part of one volume of one subject."""
        ...


@runtime_checkable
class MatchingObjective(Protocol):
    """An objective on pairs of graphs whose nodes are views of the same items, in one order.

    A member may leave out any of the arguments; a method hands over those it names.
    """

    def __call__(
        self,
        nodes_a: Float[Tensor, "graph node dim"],
        nodes_b: Float[Tensor, "graph node dim"],
        edges_a: Int[Tensor, "graph edge 2"],
        edges_b: Int[Tensor, "graph edge 2"],
        maps_a: Float[Tensor, "graph node place channel"],
        maps_b: Float[Tensor, "graph node place channel"],
        places_a: Float[Tensor, "graph node place axis"],
        places_b: Float[Tensor, "graph node place axis"],
    ) -> Loss:
        """Compare graphs by their nodes, their edges, and what feature maps hold at which place."""
        ...


@runtime_checkable
class SeparationObjective(Protocol):
    """An objective on two codes of items of two groups, in two views, row by row.

    A member may leave out any of the arguments; a method hands over those it names.

    Attributes:
        constant: The salient code of the background, along each axis.
    """

    constant: float

    def __call__(  # noqa: PLR0913, PLR0917  # all that is offered
        self,
        common_a: Float[Tensor, "item common"],
        common_b: Float[Tensor, "item common"],
        salient_a: Float[Tensor, "item salient"],
        salient_b: Float[Tensor, "item salient"],
        is_target: Bool[Tensor, "item"],
        past_common: Float[Tensor, "past common"],
        past_salient: Float[Tensor, "past salient"],
        attributes: Float[Tensor, "item attribute"],
        is_categorical: Bool[Tensor, "attribute"],
    ) -> Loss:
        """Compare views a and b of targets and background, and with codes of earlier batches.

        Of targets it may be told attributes: classes by number, or numbers of unit deviation.
        """
        ...


@runtime_checkable
class RegionObjective(Protocol):
    """An objective on the same regions in two feature maps of each item, row by row.

    A member may leave out any of the arguments; a method hands over those it names.

    Attributes:
        window_vox: Side of a region, in voxels of the map.
    """

    window_vox: int

    def lattice(self, spatial_shape: Sequence[int]) -> Int[Tensor, "region axis"]:
        """Return the first voxel of each region that it wants of maps of this shape."""
        ...

    def __call__(
        self,
        regions_a: Float[Tensor, "item region dim"],
        regions_b: Float[Tensor, "item region dim"],
        volume: Int[Tensor, "item"],
        part: Int[Tensor, "item"],
        subject: Int[Tensor, "item"],
    ) -> Loss:
        """Compare maps region by region in the lattice's order, of parts of subjects' volumes."""
        ...


@runtime_checkable
class ClassObjective(Protocol):
    """An objective on the logits of items and the classes they should have."""

    def __call__(self, logits: Float[Tensor, "item class"], target: Int[Tensor, "item"]) -> Loss:
        """Compare the logits with the number of each item's class."""
        ...


@runtime_checkable
class RestorationObjective(Protocol):
    """An objective on images that a network restored from changed ones.

    A member may leave out any of the arguments; a method hands over those it names.
    """

    def __call__(
        self,
        restored: Float[Tensor, "item channel *spatial"],
        original: Float[Tensor, "item channel *spatial"],
        changed: Float[Tensor, "item channel *spatial"],
    ) -> Loss:
        """Compare what came of the changed images with the original ones."""
        ...


@runtime_checkable
class DenseObjective(Protocol):
    """An objective on an embedding of each voxel, and the classes that voxels are of."""

    def __call__(
        self,
        dense: Float[Tensor, "item dim *spatial"],
        is_of: Bool[Tensor, "item class *spatial"],
    ) -> Loss:
        """Compare voxels by which of the classes, the background left out, each is of."""
        ...


@runtime_checkable
class SegmentationObjective(Protocol):
    """An objective on the logits of crops, voxel by voxel, and the classes they should have."""

    def __call__(
        self,
        logits: Float[Tensor, "item class *spatial"],
        label: Int[Tensor, "item *spatial"],
    ) -> Loss:
        """Compare the logits with the label; class 0 is the background."""
        ...


def full_precision(forward: Callable[..., Loss]) -> Callable[..., Loss]:
    """Make a `forward` compute in float32 at least, whatever precision surrounds it."""

    @wraps(forward)
    def widened(self: Any, *features: Tensor, **named: Tensor) -> Loss:
        device = next(iter((*features, *named.values()))).device.type
        with torch.autocast(device, enabled=False):
            return forward(self, *map(_widen, features), **{k: _widen(v) for k, v in named.items()})

    return widened


def _widen(feature: Tensor) -> Tensor:
    half = feature.is_floating_point() and feature.dtype.itemsize < 4
    return feature.float() if half else feature
