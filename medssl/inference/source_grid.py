"""From the grid that a network saw back to the grid that the scanner made.

Probabilities are resampled once, linearly, through both affines, and the class is chosen after
that: labels themselves are never interpolated. Where the voxels of both grids coincide, up to
the order and direction of axes and to a crop, they are copied and nothing is resampled.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Shaped, UInt8
from scipy import ndimage

from medssl.geometry import Affine

# Grids whose voxels are nowhere further apart than this share of a voxel coincide.
TOLERANCE_VOX = 1e-3
# Voxels of the source grid that are resampled at once.
SLAB_VOX = 2**24


def to_source_grid(
    probabilities: Float[np.ndarray, "class i j k"],
    affine: Affine,
    source_affine: Affine,
    source_shape: Sequence[int],
) -> UInt8[np.ndarray, "source_i source_j source_k"]:
    """Return the most probable class of each source voxel; the lower one where two tie.

    Args:
        probabilities: On the network's grid.
        affine: Of the network's grid.
        source_affine: Of the source grid.
        source_shape: Of the source grid; what lies beyond the network's grid is background.
    """
    to_own = np.linalg.inv(affine) @ source_affine
    i, j, k = source_shape
    shape = (i, j, k)
    if (placed := _coinciding(to_own, shape)) is not None:
        labels = probabilities.argmax(axis=0).astype(np.uint8)
        return _copy(labels, *placed, shape)
    mask = np.zeros(shape, np.uint8)
    step = max(1, SLAB_VOX // (i * j))
    for start in range(0, k, step):
        stop = min(k, start + step)
        shifted = to_own @ _shift(start)
        mask[:, :, start:stop] = _most_probable(probabilities, shifted, (i, j, stop - start))
    return mask


def values_on_source_grid(
    values: Float[np.ndarray, "i j k"],
    affine: Affine,
    source_affine: Affine,
    source_shape: Sequence[int],
) -> Float[np.ndarray, "source_i source_j source_k"]:
    """Return a map of numbers on the source grid, linearly resampled where voxels do not coincide.

    Args:
        values: On the network's grid.
        affine: Of the network's grid.
        source_affine: Of the source grid.
        source_shape: Of the source grid; what lies beyond the network's grid is 0.
    """
    to_own = np.linalg.inv(affine) @ source_affine
    i, j, k = source_shape
    shape = (i, j, k)
    if (placed := _coinciding(to_own, shape)) is not None:
        return _copy(values, *placed, shape)
    sampled = ndimage.affine_transform(
        values, to_own[:3, :3], to_own[:3, 3], shape, np.float32, order=1, mode="nearest"
    )
    found: np.ndarray = np.where(_inside(to_own, shape, values.shape), sampled, np.float32(0))
    return found


def _shift(slices: int) -> Affine:
    moved = np.eye(4)
    moved[2, 3] = slices
    return moved


def _coinciding(
    to_own: Affine, shape: tuple[int, int, int]
) -> tuple[np.ndarray, np.ndarray] | None:
    """Return the signed permutation and the whole shift that the map is, if it is one."""
    rounded = np.round(to_own)
    turn = rounded[:3, :3]
    if not np.array_equal(turn @ turn.T, np.eye(3)):
        return None
    corners = np.array(np.meshgrid(*[(0, n - 1) for n in shape])).reshape(3, -1)
    away = (to_own - rounded)[:3, :3] @ corners + (to_own - rounded)[:3, 3:]
    if np.abs(away).max() > TOLERANCE_VOX:
        return None
    return turn.astype(int), rounded[:3, 3].astype(int)


def _copy(
    labels: Shaped[np.ndarray, "i j k"],
    turn: Shaped[np.ndarray, "3 3"],
    shift: Shaped[np.ndarray, "3"],
    shape: tuple[int, int, int],
) -> Shaped[np.ndarray, "source_i source_j source_k"]:
    """Place labels where `own = turn @ source + shift` says, background where there are none."""
    axes = np.abs(turn).argmax(axis=0)
    signs = turn[axes, range(3)]
    turned = labels.transpose(axes)[tuple(slice(None, None, sign) for sign in signs)]
    # Along source axis a, own coordinate sign * x + shift is 0 at x = -sign * shift; after a
    # flip the first voxel is the one of the highest own coordinate.
    first = [
        -shift[own] if sign > 0 else shift[own] - (labels.shape[own] - 1)
        for own, sign in zip(axes, signs, strict=True)
    ]
    mask = np.zeros(shape, labels.dtype)
    begin = [max(0, at) for at in first]
    end = [min(n, at + m) for n, at, m in zip(shape, first, turned.shape, strict=True)]
    if all(b < e for b, e in zip(begin, end, strict=True)):
        inside = tuple(slice(b, e) for b, e in zip(begin, end, strict=True))
        taken = tuple(slice(b - at, e - at) for b, e, at in zip(begin, end, first, strict=True))
        mask[inside] = turned[taken]
    return mask


def _most_probable(
    probabilities: Float[np.ndarray, "class i j k"],
    to_own: Affine,
    shape: tuple[int, int, int],
) -> UInt8[np.ndarray, "source_i source_j slab"]:
    """Sample class by class and keep the best so far, which needs no room for all classes."""
    best = np.full(shape, -np.inf, np.float32)
    mask = np.zeros(shape, np.uint8)
    sampled = np.empty(shape, np.float32)
    for number, probability in enumerate(probabilities):
        ndimage.affine_transform(
            probability, to_own[:3, :3], to_own[:3, 3], shape, sampled, order=1, mode="nearest"
        )
        better = sampled > best
        mask[better] = number
        np.copyto(best, sampled, where=better)
    mask[~_inside(to_own, shape, probabilities.shape[1:])] = 0
    return mask


def _inside(
    to_own: Affine, shape: tuple[int, int, int], own_shape: Sequence[int]
) -> Shaped[np.ndarray, "source_i source_j slab"]:
    """Return which voxel centers lie in the own grid or less than a voxel from its outermost ones.

    That is half a voxel more than the grid fills: resampling to whole voxels may leave out as
    much at the source's border.
    """
    inside = np.ones(shape, bool)
    i, j, k = (np.arange(n, dtype=np.float64) for n in shape)
    for row, size in zip(to_own[:3], own_shape, strict=True):
        at = row[0] * i[:, None, None] + row[1] * j[:, None] + row[2] * k + row[3]
        inside &= (at > -1) & (at < size)
    return inside
