"""Does text stand in the pixels? A cheap look at a few slices for what only writing looks like.

Writing that was burned in is a row of small islands that reach the largest value of the image,
of nearly one height, a little apart, on ground that is far darker. Metal and clipped bone reach
it too, but are no row of islands; calcifications are islands, but of no common height. Most
slices are done after one look at every fourth column: few have several pixels at the largest
value. What is not found: text that runs along columns, is not the brightest there is, is set in
less than ten pixels, or stands only in slices between those looked at.
"""

import numpy as np
from jaxtyping import Bool, Float64, Shaped
from scipy import ndimage
from scipy.sparse.csgraph import connected_components

SMALLEST = 64  # pixels along each side of a slice that has room for text
EVERY = 4  # columns of the first look
FEWEST = 4  # largest values in those columns
MARGIN_VOX = 16  # around the rows that hold them
MOST_SHARE = 0.05  # of a slice: above, the largest value is ground, not writing
EQUAL = 0.03  # of the range of values: what counts as one value with the largest
NEARLY = 0.15  # of the range of values: as near as lossy compression leaves the brightest
HALF = 0.45  # of the range: where smoothed edges of a letter are cut
HEIGHT_VOX = (5, 64)
WIDEST = 2.0  # of an island, in heights
FULLEST = 0.95  # share of an island's box: above, it is a bar
SAME_HEIGHT = 1.35  # of two letters of one row, with and without ascender apart
OFF_LINE = 0.3  # of their lower edges, in heights
GAP = 1.6  # between letters of a row, in heights: a space
LETTERS = 5  # in a row
MOST_ISLANDS = 2000  # above, it is noise
MOST_INK = 0.2  # of the rows looked at: above, the bright is ground


def has_text(voxels: Shaped[np.ndarray, "channel i j k"]) -> bool:
    """Say whether the first, the middle or the last slice along the third axis seems written on."""
    return any(is_written_on(voxels[0, :, :, k]) for k in looked_at(voxels.shape[1:]))


def looked_at(shape: tuple[int, ...]) -> list[int]:
    """Return which slices of a volume are looked at: none if they have no room for text."""
    columns, rows, slices = shape
    return [] if min(columns, rows) < SMALLEST else sorted({0, slices // 2, slices - 1})


def is_written_on(plane: Shaped[np.ndarray, "i j"]) -> bool:
    """Say whether a row of letters stands in a slice, whose rows run along the first axis."""
    glance = np.ascontiguousarray(plane[::EVERY])
    high, low = glance.max(), glance.min()
    if not np.isfinite([high, low]).all() or high <= low:
        return False
    largest = glance >= _above(glance, EQUAL)
    if not FEWEST <= int(largest.sum()) <= MOST_SHARE * glance.size:
        return False
    rows = np.flatnonzero(largest.any(axis=0))
    near = np.ascontiguousarray(plane[:, max(rows[0] - MARGIN_VOX, 0) : rows[-1] + MARGIN_VOX])
    return _has_row(near > _above(glance, HALF), near >= _above(glance, NEARLY))


def _above(plane: Shaped[np.ndarray, "i j"], share: float) -> float:
    """Return the value that lies a share of the range below the largest one."""
    high, low = float(plane.max()), float(plane.min())
    return high - share * (high - low)


def _has_row(bright: Bool[np.ndarray, "i j"], brightest: Bool[np.ndarray, "i j"]) -> bool:
    """Say whether islands of letters' size, each with some of the brightest, stand on one line."""
    if bright.mean() > MOST_INK:
        return False
    labels, number = ndimage.label(bright, structure=np.ones((3, 3), bool))
    if not LETTERS <= number <= MOST_ISLANDS:
        return False
    boxes = np.array(
        [[s.start for s in box] + [s.stop for s in box] for box in ndimage.find_objects(labels)],
        np.int64,
    ).reshape(-1, 4)
    filled = np.bincount(labels.ravel(), minlength=number + 1)[1:]
    peaked = np.bincount(labels[brightest], minlength=number + 1)[1:]
    width, height = boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]
    letters = (
        (peaked > 0)
        & (height >= HEIGHT_VOX[0])
        & (height <= HEIGHT_VOX[1])
        & (width <= WIDEST * height)
        & (filled < FULLEST * width * height)
    )
    return _longest_row(boxes[letters].astype(np.float64)) >= LETTERS


def _longest_row(letters: Float64[np.ndarray, "letter 4"]) -> int:
    """Return how many boxes (left, upper, right, lower) stand side by side on one line."""
    if len(letters) < LETTERS:
        return 0
    left, upper, right, lower = letters.T
    height = lower - upper
    between = left[None, :] - right[:, None]
    low, high = np.minimum.outer(height, height), np.maximum.outer(height, height)
    # On a mirrored slice the feet of letters are their upper edge.
    off_line = np.minimum(
        np.abs(np.subtract.outer(lower, lower)), np.abs(np.subtract.outer(upper, upper))
    )
    beside = (
        (between >= 0) & (between <= GAP * high)
        & (high <= SAME_HEIGHT * low) & (off_line <= OFF_LINE * low)
    )  # fmt: skip
    _, row = connected_components(beside, directed=False)
    return int(np.bincount(row).max())
