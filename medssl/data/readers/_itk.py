"""Formats that ITK reads: a header of text, voxels behind it or in a file beside it.

Source: ITK's documentation. Its physical space is LPS+ millimeters, which becomes RAS+ here.
What ITK fills in where a header is silent (axes along the patient's, millimeters) is not
believed: each format looks into its own header for what it must say.
"""

import math
import re
from pathlib import Path

import numpy as np
import SimpleITK

from medssl.data.readers._grids import (
    MOST_PACKED,
    check_affine,
    check_axes,
    check_frame,
    check_regular,
)
from medssl.data.verdicts import Code, RefusedError
from medssl.data.volume import Volume
from medssl.geometry import Affine, lps_to_ras

MOST_HEADER = 1 << 20  # bytes; a header of text that is longer is none
BITS = re.compile(r"(\d+)-bit (?:un)?signed integer|(\d+)-bit float")


def header_text(path: Path) -> list[str]:
    """Return the lines at the head of a file, as far as they can be a header.

    Raises:
        RefusedError: If it cannot be read, or is not there.
    """
    check_regular(path)
    try:
        with path.open("rb") as file:
            lines = file.read(MOST_HEADER).decode("latin-1").split("\n")
    except FileNotFoundError as error:
        raise RefusedError(Code.UNREADABLE, "there is no such file", path) from error
    except OSError as error:
        sentence = f"it cannot be read ({type(error).__name__})"
        raise RefusedError(Code.UNREADABLE, sentence, path) from error
    # Where ITK sees no end of a line there is none, whatever Unicode says.
    return [line.removesuffix("\r") for line in lines]


def beside(path: Path, name: str) -> Path:
    """Return the file of voxels that a header names, which must lie in its folder.

    Raises:
        RefusedError: If it does not, or is not one file.
    """
    folder = path.parent.resolve()
    if "%" in name or name.upper().startswith("LIST"):
        raise RefusedError(Code.UNSUPPORTED, "its voxels lie in several files", path)
    try:
        found = (folder / name).resolve()
        is_there = found.is_file()
    except (OSError, ValueError):  # too long, a null byte, links in a circle
        is_there, found = False, folder
    if not found.is_relative_to(folder):
        raise RefusedError(Code.UNSUPPORTED, "its voxels lie outside of its own folder", path)
    if not is_there:
        raise RefusedError(Code.TRUNCATED, "the file of its voxels is not there", path)
    return path.parent / name


def itk_grid(
    path: Path, *, kind: str, data: Path, is_packed: bool, is_list: bool = False
) -> tuple[tuple[int, ...], Affine]:
    """Return shape, frames included, and affine.

    Args:
        path: The header.
        kind: The format, as SimpleITK's ImageIO is called without `ImageIO`.
        data: The file of voxels.
        is_packed: Whether they are compressed.
        is_list: Whether what ITK takes for a voxel's components are frames.

    Raises:
        RefusedError: If it holds no volume of single real numbers, or fewer than it promises.
    """
    reader = _opened(path, kind)
    number = SimpleITK.GetPixelIDValueAsString(reader.GetPixelIDValue())
    bits = BITS.search(number)
    if bits is None or (number.startswith("vector") and not is_list):
        sentence = f"its voxels are {number}, not single real numbers"
        raise RefusedError(Code.UNSUPPORTED, sentence, path)
    shape = _shape(reader)
    check_axes(shape, kind)
    promised, there = math.prod(shape) * int(bits[1] or bits[2]) // 8, data.stat().st_size
    if promised > there * (MOST_PACKED if is_packed else 1):
        packed = "packed " if is_packed else ""
        sentence = f"{promised} bytes of voxels are promised, its file has {there} {packed}bytes"
        raise RefusedError(Code.TRUNCATED, sentence, path)
    affine = _affine(reader)
    check_affine(affine)
    return shape, affine


def itk_read(path: Path, *, kind: str, frame: int | None) -> Volume:
    """Return one volume of one channel, in its stored number type.

    Raises:
        RefusedError: If its voxels cannot be read.
        DataError: If the axes and the frame do not fit.
    """
    reader = _opened(path, kind)
    check_frame(path, _shape(reader), frame)
    is_list = reader.GetNumberOfComponents() > 1
    if frame is not None and not is_list:
        reader.SetExtractIndex([0, 0, 0, frame])
        reader.SetExtractSize([*reader.GetSize()[:3], 0])
    affine = _affine(reader)
    try:
        # ITK's arrays begin with the slowest axis of space and end with components.
        voxels = SimpleITK.GetArrayFromImage(reader.Execute())
    except RuntimeError as error:  # the only one that SimpleITK knows
        sentence = "its voxels cannot be read: cut off or damaged"
        raise RefusedError(Code.TRUNCATED, sentence, path) from error
    return Volume((voxels[..., frame] if is_list else voxels).T[None], affine)


def _shape(reader: SimpleITK.ImageFileReader) -> tuple[int, ...]:
    components = reader.GetNumberOfComponents()
    listed = (components,) if components > 1 else ()
    return *(int(length) for length in reader.GetSize()), *listed


def _opened(path: Path, kind: str) -> SimpleITK.ImageFileReader:
    SimpleITK.ProcessObject.SetGlobalWarningDisplay(False)  # noqa: FBT003  # they print paths
    reader = SimpleITK.ImageFileReader()
    reader.SetImageIO(f"{kind}ImageIO")
    reader.SetFileName(str(path))
    try:
        reader.ReadImageInformation()
    except RuntimeError as error:
        sentence = f"named {kind}, but its header cannot be read"
        raise RefusedError(Code.UNREADABLE, sentence, path) from error
    return reader


def _affine(reader: SimpleITK.ImageFileReader) -> Affine:
    axes = reader.GetDimension()
    direction = np.array(reader.GetDirection(), np.float64).reshape(axes, axes)
    lps = np.eye(4)
    with np.errstate(over="ignore", invalid="ignore"):  # what comes of it is looked at
        lps[:3, :3] = direction[:3, :3] * np.array(reader.GetSpacing()[:3])
    lps[:3, 3] = reader.GetOrigin()[:3]
    return lps_to_ras(lps)
