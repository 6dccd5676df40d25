"""Pixels that stand in a file as they are: where, and how to read them without the rest.

Most of an archive is stored so; decoding it needs no more than the place and the number type.

Source: DICOM PS3.5 2024, 7.1 (data elements), 8.1 (native pixel data), A.1, A.2 (syntaxes).
"""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Shaped
from pydicom.uid import UID, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from medssl.data.dicom.elements import Said, number
from medssl.data.verdicts import Code, RefusedError

PIXELS = b"\xe0\x7f\x10\x00"
MOST_RESCALE = 1e18
UNKNOWN_LENGTH = 0xFFFFFFFF


class Native(NamedTuple):
    """Where a file has its pixels, and what they are.

    Args:
        offset: Of the first byte.
        bits: Of a pixel in the file.
        used: How many of these are the pixel, the lower ones.
        is_signed: Whether they are two's complement.
        slope: From a stored number to a value.
        intercept: The value of a stored 0.
    """

    offset: int
    bits: int
    used: int
    is_signed: bool
    slope: float
    intercept: float

    def frame(self, number: int, size: int, slope: float, intercept: float) -> "Native | None":
        """Return where another frame is; none if its values are not of 32 bits.

        Args:
            number: Of the frame, from 1, which is this one.
            size: Of a frame in pixels.
            slope: Of the frame.
            intercept: Of the frame.
        """
        if not is_rescale(slope, intercept):
            return None
        offset = self.offset + (number - 1) * size * self.bits // 8
        return self._replace(offset=offset, slope=slope, intercept=intercept)


class Behind(NamedTuple):
    """What a header is followed by.

    Args:
        offset: Where it ends.
        element: The first 12 bytes that follow.
        size_bytes: Of the whole file.
    """

    offset: int
    element: bytes
    size_bytes: int


def find_native(found: Said, syntax: UID, behind: Behind) -> Native | None:
    """Return where the pixels of one image are; none if they need a decoder, or are not whole.

    Args:
        found: What stands before them.
        syntax: How they are stored.
        behind: What follows that.

    Raises:
        RefusedError: If they are there, and end early.
    """
    if found.get("NumberOfFrames") or (plain := _plain(found, syntax, behind)) is None:
        return None
    native, is_whole = plain
    if not is_whole:
        raise RefusedError(Code.TRUNCATED, "its pixel data is shorter than rows by columns")
    slope, intercept = number(found.get("RescaleSlope")), number(found.get("RescaleIntercept"))
    return native.frame(1, 0, 1.0 if slope is None else slope, intercept or 0.0)


def find_frames(found: Said, syntax: UID, behind: Behind) -> Native | None:
    """Return where the pixels of the first of several frames are, whose values are as stored.

    Returns:
        None if they need a decoder, or are not whole.
    """
    plain = _plain(found, syntax, behind)
    return plain[0] if plain is not None and plain[1] else None


def _plain(found: Said, syntax: UID, behind: Behind) -> tuple[Native, bool] | None:
    """Return pixels that need no decoder, and whether they are there to their end."""
    bits, used = (_whole(found.get(name)) for name in ("BitsAllocated", "BitsStored"))
    is_plain = (
        syntax in (ExplicitVRLittleEndian, ImplicitVRLittleEndian)
        and bits in (8, 16)
        and 0 < used <= bits
        and found.get("HighBit") == used - 1
        and found.get("SamplesPerPixel") == 1
        and "ModalityLUTSequence" not in found
    )
    offset, length = _place(behind, is_implicit=syntax == ImplicitVRLittleEndian)
    pixels = int(found.get("Rows") or 0) * int(found.get("Columns") or 0)
    needed = pixels * int(found.get("NumberOfFrames") or 1) * bits // 8
    if not is_plain or not needed or not length:
        return None
    is_whole = needed <= length and offset + needed <= behind.size_bytes
    return Native(offset, bits, used, found.get("PixelRepresentation") == 1, 1.0, 0.0), is_whole


def is_rescale(slope: float, intercept: float) -> bool:
    """Say whether stored numbers become values by these, in numbers of 32 bits."""
    return 1 / MOST_RESCALE <= abs(slope) <= MOST_RESCALE and abs(intercept) <= MOST_RESCALE


def _whole(value: object) -> int:
    return value if isinstance(value, int) else 0


def _place(behind: Behind, *, is_implicit: bool) -> tuple[int, int]:
    """Return offset and length of the pixel data; a length of 0 if it does not begin there."""
    offset, element, _ = behind
    size = 8 if is_implicit else 12
    length = int.from_bytes(element[size - 4 : size], "little")
    is_there = element[:4] == PIXELS and len(element) == 12 and length != UNKNOWN_LENGTH
    return offset + size, length if is_there else 0


def room_for(native: Native, *shape: int) -> Shaped[np.ndarray, "..."]:
    """Return an array for the stored numbers of images that are stored alike."""
    return np.empty(shape, _dtype(native))


def stored_in(
    content: memoryview, native: Native, rows: int, columns: int
) -> Shaped[np.ndarray, "row column"]:
    """Return the stored numbers of an image within the content of its file."""
    count = rows * columns
    return np.frombuffer(content, _dtype(native), count, native.offset).reshape(rows, columns)


def _dtype(native: Native) -> np.dtype[Any]:
    return np.dtype(f"<{'i' if native.is_signed else 'u'}{native.bits // 8}")


def read_native(path: Path, native: Native, room: Shaped[np.ndarray, "row column"]) -> None:
    """Read the stored numbers of an image into an array of its type and size.

    Raises:
        RefusedError: If the file ends before.
    """
    with path.open("rb") as file:
        file.seek(native.offset)
        num_bytes = file.readinto(room.data.cast("B"))
    if num_bytes != room.nbytes:
        sentence = "the file ends before or within its pixel data"
        raise RefusedError(Code.TRUNCATED, sentence, path)
