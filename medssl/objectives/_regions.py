"""Where regions lie in a feature map, and which are negatives of which.

Source: Chaitanya et al., NeurIPS 2020 (2-D); the 3-D lattice is medssl's.

Places are counted in quarters of the way that a window can be moved along an axis.
"""

from collections.abc import Sequence
from functools import partial
from itertools import product
from typing import Literal

import torch
from jaxtyping import Int
from torch import Tensor, nn

Place = tuple[int, ...]
NumNegatives = int | Literal["all"]

# The released code's table: five regions near each, four of them outside of the 13 anchors.
NEARBY_2D: dict[Place, tuple[Place, ...]] = {
    (0, 0): ((0, 2), (1, 1), (1, 2), (2, 0), (2, 1)),
    (0, 2): ((0, 0), (0, 4), (1, 1), (1, 3), (2, 2)),
    (0, 4): ((0, 2), (1, 2), (1, 3), (2, 3), (2, 4)),
    (2, 0): ((0, 0), (1, 1), (2, 2), (4, 0), (3, 1)),
    (2, 2): ((1, 1), (1, 3), (3, 1), (3, 3), (2, 0)),
    (2, 4): ((0, 4), (2, 2), (4, 4), (1, 3), (3, 3)),
    (4, 0): ((2, 0), (2, 1), (4, 2), (3, 1), (3, 2)),
    (4, 2): ((2, 2), (4, 0), (4, 4), (3, 1), (3, 3)),
    (4, 4): ((2, 3), (2, 4), (4, 2), (3, 3), (3, 2)),
    (1, 1): ((0, 0), (0, 2), (2, 0), (2, 2), (1, 3)),
    (1, 3): ((0, 2), (0, 4), (1, 1), (2, 2), (2, 4)),
    (3, 1): ((2, 0), (2, 2), (4, 0), (4, 2), (3, 3)),
    (3, 3): ((2, 2), (2, 4), (4, 2), (4, 4), (3, 1)),
}


MOST_2D = 5


def anchors(spatial_dims: int, *, centers: bool) -> tuple[Place, ...]:
    """Return the places of the regions that are compared: a grid of three an axis, then its cells.

    That is 9 + 4 places in 2-D and 27 + 8 in 3-D; without `centers` the cells are left out.
    """
    grid = tuple(product((0, 2, 4), repeat=spatial_dims))
    cells = tuple(product((1, 3), repeat=spatial_dims))
    return grid + cells if centers else grid


def nearby(
    spatial_dims: int, *, centers: bool, num_negatives: NumNegatives
) -> tuple[tuple[Place, ...], tuple[tuple[int, ...], ...]]:
    """Return all places, the anchors first, and the rows of each anchor's negatives among them.

    In 2-D they are the first of the table's five, in 3-D the nearest other anchors; of those
    equally near, the first in the order of the places. All other anchors, if `all` is asked for.

    Raises:
        ValueError: If there are not so many.
    """
    chosen = anchors(spatial_dims, centers=centers)
    if num_negatives == "all":
        lists = [tuple(other for other in chosen if other != place) for place in chosen]
    else:
        most = MOST_2D if spatial_dims == 2 else len(chosen) - 1
        if not 1 <= num_negatives <= most:
            msg = f"num_negatives must be in [1, {most}] in {spatial_dims}-D, got {num_negatives}"
            raise ValueError(msg)
        near = NEARBY_2D.__getitem__ if spatial_dims == 2 else partial(_nearest, others=chosen)
        lists = [near(place)[:num_negatives] for place in chosen]
    outside = sorted({place for places in lists for place in places} - set(chosen))
    places = (*chosen, *outside)
    return places, tuple(tuple(map(places.index, negatives)) for negatives in lists)


class Lattice(nn.Module):
    """The regions of maps of any size, in 2-D and 3-D, as tensors that move with the module.

    Args:
        window_vox: Side of a region, in voxels of the map.
        num_negatives: Neighbors that are negatives; at most 5 in 2-D, `all` for all other anchors.
        centers: Whether the grid's cells are anchors besides the grid.
    """

    def __init__(
        self, *, window_vox: Literal[1, 3], num_negatives: NumNegatives, centers: bool
    ) -> None:
        super().__init__()
        self.window_vox, self.num_negatives = window_vox, num_negatives
        in_2d = num_negatives if num_negatives == "all" else min(num_negatives, MOST_2D)
        for dims, number in ((2, in_2d), (3, num_negatives)):
            places, rows = nearby(dims, centers=centers, num_negatives=number)
            self.register_buffer(f"places_{dims}d", torch.tensor(places), persistent=False)
            self.register_buffer(f"negatives_{dims}d", torch.tensor(rows), persistent=False)

    def forward(self, spatial_shape: Sequence[int]) -> Int[Tensor, "region axis"]:
        """Return the first voxel of each region: those compared, then those only contrasted with.

        Raises:
            ValueError: If two regions would be the same, or the map has no such lattice.
        """
        places = self.get_buffer(f"places_{len(spatial_shape)}d")
        number = self.num_negatives
        if len(spatial_shape) == 2 and number != "all" and number > MOST_2D:
            msg = f"num_negatives must be at most {MOST_2D} in 2-D, got {number}"
            raise ValueError(msg)
        # a window of 3 leaves the last voxel of each axis out, as in the released code
        room = [length - (4 if self.window_vox == 3 else 1) for length in spatial_shape]
        if min(room) < 4:
            msg = (
                f"regions need maps of at least {self.window_vox + 4 + self.window_vox // 3}"
                f" voxels an axis, got {tuple(spatial_shape)}; cut larger crops or run more "
                "decoder blocks"
            )
            raise ValueError(msg)
        return torch.stack([places[:, axis] * way // 4 for axis, way in enumerate(room)], dim=1)

    def negatives(self, num_regions: int) -> Int[Tensor, "anchor negative"]:
        """Return the rows of each anchor's negatives, where there are so many regions a map.

        Raises:
            ValueError: If that is the number of no lattice.
        """
        known = {len(self.get_buffer(f"places_{dims}d")): dims for dims in (2, 3)}
        if num_regions not in known:
            msg = (
                f"the lattice has {list(known)} regions in 2-D and 3-D, got {num_regions} of a map"
            )
            raise ValueError(msg)
        return self.get_buffer(f"negatives_{known[num_regions]}d")


def _nearest(place: Place, others: tuple[Place, ...]) -> tuple[Place, ...]:
    def squared_distance(other: Place) -> int:
        return sum((a - b) ** 2 for a, b in zip(place, other, strict=True))

    return tuple(sorted((other for other in others if other != place), key=squared_distance))
