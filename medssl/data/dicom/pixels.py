"""The numbers of slices: decoded, freed of unused bits, with their rescale.

Source: DICOM PS3.3 2024, C.7.6.3.1 (bits allocated and stored), C.11.1 (modality LUT);
PS3.5, 8.2 (transfer syntaxes).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import pydicom
from jaxtyping import Shaped
from pydicom.pixels.utils import iter_pixels
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

from medssl.data.dicom.bounded import open_bounded, read_all, read_head
from medssl.data.dicom.decoders import NATIVE, frames_at
from medssl.data.dicom.header import Header
from medssl.data.dicom.native import Native, is_rescale, read_native, room_for
from medssl.data.dicom.quiet import DAMAGE, quietly
from medssl.data.verdicts import Code, RefusedError

INTEGERS = (np.int16, np.uint16, np.int32, np.uint32)


@dataclass(frozen=True)
class Pixels:
    """One slice as it is stored.

    Args:
        stored: Rows by columns.
        ends: The lowest and the highest of these.
        slope: From a stored number to a value.
        intercept: The value of a stored 0.
    """

    stored: Shaped[np.ndarray, "row column"]
    ends: tuple[int, int]
    slope: float
    intercept: float

    @classmethod
    def of(
        cls, stored: Shaped[np.ndarray, "row column"], slope: float, intercept: float
    ) -> "Pixels":
        """Return a slice as what was read, while the processor's cache still holds that."""
        return cls(stored, (int(stored.min()), int(stored.max())), slope, intercept)


def read_pixels(path: Path) -> Pixels:
    """Decode a slice.

    Raises:
        RefusedError: Naming the file, if it ends early or nothing here decodes its transfer syntax.
    """
    try:
        with quietly():
            return _read(read_dataset(path))
    except RefusedError as refusal:
        raise RefusedError(refusal.code, refusal.sentence, path) from refusal
    except DAMAGE as error:
        sentence = f"its pixels cannot be read ({type(error).__name__})"
        raise RefusedError(Code.TRUNCATED, sentence, path) from error


def native_pixels(header: Header, room: Shaped[np.ndarray, "row column"] | None = None) -> Pixels:
    """Read a slice that stands in its file as it is.

    Args:
        header: Of the slice.
        room: Where to read it to, of `room_for`.

    Raises:
        RefusedError: Naming the file, if it is not there any more, or not whole.
    """
    native = cast(Native, header.native)
    stored = room_for(native, header.rows, header.columns) if room is None else room
    try:
        read_native(header.path, native, stored)
    except OSError as error:
        sentence = f"its pixels cannot be read ({type(error).__name__})"
        raise RefusedError(Code.TRUNCATED, sentence, header.path) from error
    return pixels_of(stored, native)


def pixels_of(stored: Shaped[np.ndarray, "row column"], native: Native) -> Pixels:
    """Return a slice that was read as it stands; what is in unused bits is overwritten."""
    pixels = Pixels.of(stored, native.slope, native.intercept)
    lowest = -(1 << (native.used - 1)) if native.is_signed else 0
    if lowest <= pixels.ends[0] and pixels.ends[1] < lowest + (1 << native.used):
        return pixels
    stored[...] = _lower_bits(stored, native.used)
    return Pixels.of(stored, native.slope, native.intercept)


def read_frames(
    path: Path, numbers: Sequence[int], rescales: Sequence[tuple[float, float]]
) -> list[Pixels]:
    """Decode some frames of a file, and no others.

    Args:
        path: The file.
        numbers: Which ones, from 1.
        rescales: Slope and intercept of each.

    Raises:
        RefusedError: Naming the file, if it ends early or nothing here decodes its transfer syntax.
    """
    try:
        with quietly():
            for slope, intercept in rescales:
                _require_rescale(slope, intercept)
            frames = _frames(path, [number - 1 for number in numbers])
    except RefusedError as refusal:
        raise RefusedError(refusal.code, refusal.sentence, path) from refusal
    except DAMAGE as error:
        sentence = f"its frames cannot be read ({type(error).__name__})"
        raise RefusedError(Code.TRUNCATED, sentence, path) from error
    return [Pixels.of(stored, *rescale) for stored, rescale in zip(frames, rescales, strict=True)]


def values(
    slices: Sequence[Pixels], room: Shaped[np.ndarray, "slice row column"] | None = None
) -> Shaped[np.ndarray, "channel i j k"]:
    """Return rescaled values, stored numbers that differ as values that differ.

    They are integers where they are whole and fit 16 or 32 bits, else float32, or float64 where
    float32 is too coarse: for large numbers of 32 bits, for small steps far from 0.

    In memory they stay slice by slice, as they are read.

    Args:
        slices: As they are stored.
        room: What they are all stored in, one after the other; the values take their place there
            if they fit.
    """
    dtype = _number_type(slices)
    is_shift = dtype.kind in "iu" and all(pixels.slope == 1 for pixels in slices)
    if is_shift and room is not None and room.dtype.itemsize == dtype.itemsize:
        stacked = room.view(dtype)
    else:
        stacked = np.empty((len(slices), *slices[0].stored.shape), dtype)
    for values_of, pixels in zip(stacked, slices, strict=True):
        if is_shift:
            _shift(pixels.stored, int(pixels.intercept), values_of)
        else:
            values_of[:] = pixels.stored * pixels.slope + pixels.intercept
    return stacked.T[None]


def _shift(
    stored: Shaped[np.ndarray, "row column"], by: int, out: Shaped[np.ndarray, "row column"]
) -> None:
    """Add a whole number, in the type of the result, which holds it: overflow cancels out."""
    is_same = stored.dtype.itemsize == out.dtype.itemsize
    number = stored.view(out.dtype) if is_same else stored.astype(out.dtype)
    if by or not np.may_share_memory(number, out):
        np.add(number, np.array(by).astype(out.dtype), out=out)


def read_dataset(path: Path) -> pydicom.Dataset:
    """Read all of a file seen to be DICOM; one without preamble says its syntax by its bytes."""
    with open_bounded(path) as file:
        found = read_all(file)
    if "TransferSyntaxUID" not in found.file_meta:
        is_implicit, _ = found.original_encoding
        syntax = ImplicitVRLittleEndian if is_implicit else ExplicitVRLittleEndian
        found.file_meta.TransferSyntaxUID = syntax
    return found


def _read(found: pydicom.Dataset) -> Pixels:
    if "PixelData" not in found:
        raise RefusedError(Code.TRUNCATED, "the file ends before or within its pixel data")
    if "ModalityLUTSequence" in found:
        raise RefusedError(Code.UNSUPPORTED, "its values go through a modality lookup table")
    slope, intercept = (
        float(default if found.get(key) in (None, "") else found.get(key))
        for key, default in (("RescaleSlope", 1.0), ("RescaleIntercept", 0.0))
    )
    _require_rescale(slope, intercept)
    return Pixels.of(_used_bits(_decoded(found), found), slope, intercept)


def _frames(path: Path, indices: Sequence[int]) -> list[Shaped[np.ndarray, "row column"]]:
    """Return some frames as they are stored; of a file that needs no decoder, only these."""
    with open_bounded(path) as file:
        about = read_head(file, ["BitsStored", "HighBit"])
        if about.file_meta.TransferSyntaxUID in NATIVE:
            return [_used_bits(stored, about) for stored in iter_pixels(file, indices=indices)]
    found = read_dataset(path)
    return [_used_bits(stored, found) for stored in frames_at(found, indices)]


def _require_rescale(slope: float, intercept: float) -> None:
    if not is_rescale(slope, intercept):
        sentence = f"its values are stored times {slope} plus {intercept}"
        raise RefusedError(Code.UNSUPPORTED, sentence)


def _decoded(found: pydicom.Dataset) -> Shaped[np.ndarray, "row column"]:
    (stored,) = frames_at(found, [0])
    if stored.shape != (found.Rows, found.Columns):
        sentence = f"{found.Rows} by {found.Columns} pixels were promised, {stored.shape} came"
        raise RefusedError(Code.TRUNCATED, sentence)
    return stored


def _used_bits(
    stored: Shaped[np.ndarray, "row column"], found: pydicom.Dataset
) -> Shaped[np.ndarray, "row column"]:
    """Drop what stands in bits that are no part of the pixel; restore the sign."""
    bits, used = 8 * stored.dtype.itemsize, int(found.BitsStored)
    if int(found.get("HighBit", used - 1)) != used - 1 or not 0 < used <= bits:
        sentence = f"its pixels are {used} of {bits} bits up to bit {found.get('HighBit')}"
        raise RefusedError(Code.UNSUPPORTED, sentence)
    return _lower_bits(stored.astype(stored.dtype.newbyteorder("="), copy=False), used)


def _lower_bits(
    stored: Shaped[np.ndarray, "row column"], used: int
) -> Shaped[np.ndarray, "row column"]:
    """Keep the bits that are the pixel; an arithmetic shift for signed types carries the sign."""
    unused = 8 * stored.dtype.itemsize - used
    if unused == 0:
        return stored
    shifted = stored << unused
    return np.right_shift(shifted, unused, out=shifted)


def _number_type(slices: Sequence[Pixels]) -> np.dtype[Any]:
    """Return the smallest type that holds the values of slices and the steps between them."""
    ends = [
        float(end) * pixels.slope + pixels.intercept for pixels in slices for end in pixels.ends
    ]
    if all(float(p.slope).is_integer() and float(p.intercept).is_integer() for p in slices):
        for dtype in INTEGERS:
            limits = np.iinfo(dtype)
            if limits.min <= min(ends) and max(ends) <= limits.max:
                return np.dtype(dtype)
    largest = max(map(abs, ends))
    # What lies further apart than neighbors in float32 does is never rounded to one of them.
    is_fine = all(abs(pixels.slope) > np.spacing(np.float32(largest)) for pixels in slices)
    return np.dtype(np.float32 if is_fine else np.float64)
