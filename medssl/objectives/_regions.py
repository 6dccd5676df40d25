"""Where regions lie in a feature map, and which are negatives of which.

Source: Chaitanya et al., NeurIPS 2020 (2-D); the 3-D lattice is medssl's.

Places are counted in quarters of the way that a window can be moved along an axis.
"""

from itertools import product

Place = tuple[int, ...]

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
    spatial_dims: int, *, centers: bool, num_negatives: int
) -> tuple[tuple[Place, ...], tuple[tuple[int, ...], ...]]:
    """Return all places, the anchors first, and the rows of each anchor's negatives among them.

    In 2-D they are the first of the table's five, in 3-D the nearest other anchors; of those
    equally near, the first in the order of the places.

    Raises:
        ValueError: If there are not so many.
    """
    chosen = anchors(spatial_dims, centers=centers)
    most = MOST_2D if spatial_dims == 2 else len(chosen) - 1
    if not 1 <= num_negatives <= most:
        msg = f"num_negatives must be in [1, {most}] in {spatial_dims}-D, got {num_negatives}"
        raise ValueError(msg)
    if spatial_dims == 2:
        lists = [NEARBY_2D[place][:num_negatives] for place in chosen]
    else:
        lists = [_nearest(place, chosen)[:num_negatives] for place in chosen]
    outside = sorted({place for places in lists for place in places} - set(chosen))
    places = (*chosen, *outside)
    return places, tuple(tuple(map(places.index, negatives)) for negatives in lists)


def _nearest(place: Place, others: tuple[Place, ...]) -> tuple[Place, ...]:
    def squared_distance(other: Place) -> int:
        return sum((a - b) ** 2 for a, b in zip(place, other, strict=True))

    return tuple(sorted((other for other in others if other != place), key=squared_distance))
