"""Siemens mosaics: the slices of a volume as tiles of one image, each described on its own.

The position of a mosaic is the corner of an image of the mosaic's size around the center of the
first slice. Tiles run row by row; slices follow each other along the normal of the private
header, which is the plane's or its opposite, `SpacingBetweenSlices` apart: no other place says
where they are.

Source: nibabel's documentation, "Siemens mosaic format"; no official one exists.
"""

from dataclasses import dataclass
from math import ceil, sqrt
from typing import Any

import numpy as np
import pydicom
from jaxtyping import Float64

from medssl.data.dicom.csa import image_header
from medssl.data.dicom.elements import LEAST_MM, MOST_MM, number, numbers, text
from medssl.data.verdicts import Code, RefusedError

OFF_NORMAL = 1e-3  # largest difference of a cosine


@dataclass(frozen=True)
class Tiling:
    """What the private header says of a mosaic.

    Args:
        number: Of slices.
        normal: The way from a slice to the next, in LPS+, of unit length.
    """

    number: int
    normal: tuple[float, ...]

    @property
    def across(self) -> int:
        """Tiles along a side of the mosaic."""
        return ceil(sqrt(self.number))


def is_mosaic(kind: str) -> bool:
    """Say whether an image type, with backslashes, is a mosaic's."""
    return "MOSAIC" in kind.upper().split("\\")


def tiles_of(found: pydicom.Dataset, private: pydicom.Dataset) -> tuple[list[dict[str, Any]], int]:
    """Return what is said of each slice, by keyword, and the tiles along a side of the mosaic.

    Args:
        found: What is kept of the file's header.
        private: The file's header with its private elements.

    Raises:
        RefusedError: If the mosaic cannot be taken apart for certain.
    """
    tiling = _tiling(private)
    rows, columns = (int(found.get(name) or 0) for name in ("Rows", "Columns"))
    if rows % tiling.across or columns % tiling.across or not rows * columns:
        sentence = (
            f"a mosaic of {tiling.number} slices has {tiling.across} by {tiling.across} tiles, "
            f"which {rows} by {columns} pixels do not divide into"
        )
        raise RefusedError(Code.MOSAIC, sentence)
    tile = {"Rows": rows // tiling.across, "Columns": columns // tiling.across}
    first, step = _grid(found, tiling, (rows - tile["Rows"], columns - tile["Columns"]))
    # Mosaics at one place are repetitions of a volume; of others, slices must not mix.
    stack = {"StackID": text(found.get("ImagePositionPatient"))}
    said = {element.keyword: element.value for element in found} | tile | stack
    places = [first + k * step for k in range(tiling.number)]
    tiles = [said | {"ImagePositionPatient": tuple(place.tolist())} for place in places]
    return tiles, tiling.across


def _tiling(found: pydicom.Dataset) -> Tiling:
    try:
        header = image_header(found)
    except ValueError as error:
        raise RefusedError(Code.MOSAIC, f"a mosaic of slices, and {error}") from error
    if header is None:
        sentence = "a mosaic without the private CSA2 header that says how to take it apart"
        raise RefusedError(Code.MOSAIC, sentence)
    try:
        counts = {int(value) for value in header.get("NumberOfImagesInMosaic", [])[:1]}
        normal = tuple(float(value) for value in header.get("SliceNormalVector", []))
    except ValueError as error:  # which repeats the value, and that may be anything
        sentence = "a mosaic whose private header has text where numbers belong"
        raise RefusedError(Code.MOSAIC, sentence) from error
    counts |= _public_count(found)
    if len(counts) != 1 or min(counts) < 1 or len(normal) != 3:
        sentence = (
            f"a mosaic whose private header gives {sorted(counts) or 'no'} numbers of slices "
            f"and {len(normal)} components of their normal"
        )
        raise RefusedError(Code.MOSAIC, sentence)
    return Tiling(counts.pop(), normal)


def _public_count(found: pydicom.Dataset) -> set[int]:
    """Return the number of slices as it stands outside the CSA header, if it does."""
    try:
        block = found.private_block(0x19, "SIEMENS MR HEADER")
    except KeyError:
        return set()
    value = block[0x0A].value if 0x0A in block else None
    return {int(value)} if isinstance(value, int) else set()


def _grid(
    found: pydicom.Dataset, tiling: Tiling, margin: tuple[int, int]
) -> tuple[Float64[np.ndarray, "3"], Float64[np.ndarray, "3"]]:
    """Return the position of the first slice and the step to the next, in LPS+ mm."""
    position = numbers(found.get("ImagePositionPatient"), 3)
    axes = numbers(found.get("ImageOrientationPatient"), 6)
    pixel_mm = numbers(found.get("PixelSpacing"), 2)
    between_mm = number(found.get("SpacingBetweenSlices"))
    if position is None or axes is None or pixel_mm is None:
        raise RefusedError(Code.NO_GEOMETRY, "a mosaic that does not say where it is")
    if between_mm is None or not LEAST_MM <= between_mm <= MOST_MM:
        raise RefusedError(Code.NO_GEOMETRY, "a mosaic that does not say SpacingBetweenSlices")
    if not np.abs([*position, *axes, *pixel_mm]).max() <= MOST_MM:
        raise RefusedError(Code.NO_GEOMETRY, "a mosaic that says of no place where it is")
    along_row, along_column = np.array(axes, np.float64).reshape(2, 3)
    plane = np.cross(along_row, along_column)
    way = np.sign(plane @ np.array(tiling.normal))
    off = np.abs(way * plane - np.array(tiling.normal)).max()
    if not off < OFF_NORMAL:
        sentence = f"a mosaic whose slices' normal is off the plane's by {off:.3g}"
        raise RefusedError(Code.BAD_ORIENTATION, sentence)
    rows, columns = margin
    shift = along_row * pixel_mm[1] * columns / 2 + along_column * pixel_mm[0] * rows / 2
    return np.array(position) + shift, way * plane * between_mm
