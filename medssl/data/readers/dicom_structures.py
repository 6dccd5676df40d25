"""RT structure sets, drawn on the grid of the image that they are of.

A voxel is inside where its center is. The contours of a region on one slice follow the even-odd
rule, so that a contour within another one is a hole; a center on a contour is inside. A contour
belongs to the nearest slice; nothing is made up between slices.

Source: DICOM PS3.3 2024, C.8.8.6 (ROI contour). Points in polygons are scikit-image's.
Departs from it: the standard leaves open what several CLOSED_PLANAR contours of one slice mean;
here it is what CLOSEDPLANAR_XOR says.
"""

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
import pydicom
from jaxtyping import Bool, Float64
from skimage.measure import grid_points_in_poly

from medssl.data.dicom.regions import CORNERS, Classes, Contour, roi_contours
from medssl.data.readers._canvas import Canvas
from medssl.data.verdicts import Code, RefusedError
from medssl.geometry import lps_to_ras

# Of a spacing: how far the points of a contour may lie from its plane, and the planes of
# contours on one slice from each other.
OFF_PLANE_VOX = 0.5
OFF_EACH_OTHER_VOX = 0.1
# Contours are often traced through centers of voxels, and written with few digits: to this many
# decimals of a voxel they are taken to run through the center.
DECIMALS = 2

INSIDE = 1  # of a polygon; more is on its edge


def draw_structures(found: pydicom.Dataset, classes: Classes, canvas: Canvas) -> None:
    """Draw the regions of interest that are classes.

    Args:
        found: The structure set.
        classes: By the name of a region of interest.
        canvas: What is drawn on.

    Raises:
        RefusedError: If contours lie on no slice of the image, or not in its plane.
    """
    contours = roi_contours(found, classes)
    slices: dict[tuple[int, int, int], list[Float64[np.ndarray, "point 3"]]] = defaultdict(list)
    turned, beyond = 0, 0
    for contour in contours:
        points = _points(contour, canvas)
        if len(points) < CORNERS:
            continue
        along = points[:, 2]
        k = round(float(along.mean()))
        turned += bool(np.ptp(along) > OFF_PLANE_VOX)
        beyond += not 0 <= k < canvas.values.shape[2]
        slices[contour.roi, contour.value, k].append(points)
    if turned or beyond:
        sentence = (
            f"of its {len(contours)} contours {turned} do not lie in the plane of the image's "
            f"slices and {beyond} are more than half a spacing beyond them"
        )
        raise RefusedError(Code.LABEL_GRID_DIFFERS, sentence)
    for (_, value, k), polygons in slices.items():
        _require_one_plane(polygons)
        within = np.stack(np.nonzero(_inside(polygons, canvas.values.shape)))
        voxels = np.concatenate([within, np.full((1, within.shape[1]), k)])
        canvas.draw(voxels, np.full(within.shape[1], value, np.uint16))


def _points(contour: Contour, canvas: Canvas) -> Float64[np.ndarray, "point 3"]:
    """Return the corners of a contour in voxels of the image."""
    # As it stands in the file: pydicom would make an object of each of many thousand numbers.
    written = contour.said.get_item("ContourData")
    lps = np.array(written.value.split(b"\\"), np.float64)
    if len(lps) % 3 or not np.isfinite(lps).all():
        sentence = f"a contour is written as {len(lps)} numbers that are no points"
        raise RefusedError(Code.TRUNCATED, sentence)
    to_voxels = np.linalg.inv(canvas.affine) @ lps_to_ras(np.eye(4))
    return lps.reshape(-1, 3) @ to_voxels[:3, :3].T + to_voxels[:3, 3]


def _require_one_plane(polygons: Sequence[Float64[np.ndarray, "_ 3"]]) -> None:
    """Refuse contours of a region that share a slice and do not share a plane.

    They were drawn on thinner slices, and the rule for holes would make rings of them.

    Raises:
        RefusedError: If there are such.
    """
    apart_vox = float(np.ptp([polygon[:, 2].mean() for polygon in polygons]))
    if apart_vox > OFF_EACH_OTHER_VOX:
        sentence = (
            f"contours of one region that are {apart_vox:.3g} of a spacing apart fall on one slice "
            "of the image: they were drawn on other slices"
        )
        raise RefusedError(Code.LABEL_GRID_DIFFERS, sentence)


def _inside(
    polygons: Sequence[Float64[np.ndarray, "_ 3"]], shape: tuple[int, ...]
) -> Bool[np.ndarray, "i j"]:
    """Return which centers of a slice are within an odd number of polygons, or on one of them."""
    inside, edge = np.zeros((2, *shape[:2]), np.bool_)
    # A contour that is written twice is one contour.
    different = {polygon.tobytes(): polygon for polygon in _rounded(polygons)}
    for polygon in different.values():
        low = np.clip(np.floor(polygon.min(axis=0)), 0, shape[:2]).astype(np.int64)
        high = np.clip(np.ceil(polygon.max(axis=0)) + 1, 0, shape[:2]).astype(np.int64)
        if (high <= low).any():
            continue  # all of it beside the image
        where = tuple(slice(*ends) for ends in zip(low, high, strict=True))
        found = grid_points_in_poly(tuple(high - low), polygon - low, binarize=False)
        inside[where] ^= found == INSIDE
        edge[where] |= found > INSIDE
    return inside | edge


def _rounded(
    polygons: Sequence[Float64[np.ndarray, "_ 3"]],
) -> list[Float64[np.ndarray, "_ 2"]]:
    return [np.ascontiguousarray(polygon[:, :2].round(DECIMALS)) + 0.0 for polygon in polygons]
