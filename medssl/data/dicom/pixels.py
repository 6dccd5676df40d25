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
import SimpleITK
from jaxtyping import Shaped
from pydicom.pixels.utils import iter_pixels
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGExtended12Bit,
)

from medssl.data.dicom.header import Header
from medssl.data.dicom.native import Native, read_native
from medssl.data.dicom.quiet import DAMAGE, quietly
from medssl.data.verdicts import Code, RefusedError

INTEGERS = (np.int16, np.uint16, np.int32)
NATIVE = {
    ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian,
    DeflatedExplicitVRLittleEndian,
}  # fmt: skip
# Younger than pydicom's dictionary.
NAMES = {
    "1.2.840.10008.1.2.4.110": "JPEG XL Lossless",
    "1.2.840.10008.1.2.4.111": "JPEG XL JPEG Recompression",
    "1.2.840.10008.1.2.4.112": "JPEG XL",
}


@dataclass(frozen=True)
class Pixels:
    """One slice as it is stored.

    Args:
        stored: Rows by columns.
        slope: From a stored number to a value.
        intercept: The value of a stored 0.
    """

    stored: Shaped[np.ndarray, "row column"]
    slope: float
    intercept: float


def read_pixels(path: Path) -> Pixels:
    """Decode a slice.

    Raises:
        RefusedError: Naming the file, if it ends early or nothing here decodes its transfer syntax.
    """
    try:
        with quietly():
            return _read(read_dataset(path), path)
    except RefusedError as refusal:
        raise RefusedError(refusal.code, refusal.sentence, path) from refusal
    except DAMAGE as error:
        sentence = f"its pixels cannot be read ({type(error).__name__})"
        raise RefusedError(Code.TRUNCATED, sentence, path) from error


def native_pixels(header: Header) -> Pixels:
    """Read a slice that stands in its file as it is.

    Raises:
        RefusedError: Naming the file, if it is not there any more, or not whole.
    """
    native = cast(Native, header.native)
    try:
        stored = read_native(header.path, native, header.rows, header.columns)
    except OSError as error:
        sentence = f"its pixels cannot be read ({type(error).__name__})"
        raise RefusedError(Code.TRUNCATED, sentence, header.path) from error
    return Pixels(_lower_bits(stored, native.used), native.slope, native.intercept)


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
    about = pydicom.Dataset()
    indices = [number - 1 for number in numbers]
    try:
        with quietly():
            for slope, intercept in rescales:
                _require_rescale(slope, intercept)
            frames = [
                _used_bits(stored, about)
                for stored in iter_pixels(path, ds_out=about, indices=indices)
            ]
    except RefusedError as refusal:
        raise RefusedError(refusal.code, refusal.sentence, path) from refusal
    except DAMAGE as error:
        syntax = UID(str((getattr(about, "file_meta", None) or {}).get("TransferSyntaxUID", "")))
        is_native = not syntax or syntax in NATIVE
        code = Code.TRUNCATED if is_native else Code.UNDECODABLE
        sentence = f"its frames cannot be read ({_name(syntax)})"
        raise RefusedError(code, sentence, path) from error
    return [Pixels(stored, *rescale) for stored, rescale in zip(frames, rescales, strict=True)]


def values(slices: Sequence[Pixels]) -> Shaped[np.ndarray, "channel i j k"]:
    """Return rescaled values: integers where they are whole and fit 16 or 32 bits, else float32."""
    whole = all(float(p.slope).is_integer() and float(p.intercept).is_integer() for p in slices)
    dtype = _integers(slices) if whole else np.dtype(np.float32)
    rows, columns = slices[0].stored.shape
    stacked = np.empty((len(slices), rows, columns), dtype)
    for values_of, pixels in zip(stacked, slices, strict=True):
        if whole and pixels.slope == 1 and dtype.kind in "iu":
            # In the type of the result, which holds it: overflow on the way cancels out.
            offset = np.array(int(pixels.intercept)).astype(dtype)
            np.add(pixels.stored.astype(dtype, copy=False), offset, out=values_of)
        else:
            values_of[:] = pixels.stored * pixels.slope + pixels.intercept
    return _with_slices_last(stacked)[None]


def _with_slices_last(
    stacked: Shaped[np.ndarray, "k j i"],
) -> Shaped[np.ndarray, "i j k"]:
    """Turn the axes round row by row, which the processor's cache holds: five times as fast."""
    num_slices, rows, columns = stacked.shape
    turned = np.empty((columns, rows, num_slices), stacked.dtype)
    for row in range(rows):
        turned[:, row] = stacked[:, row].T
    return turned


def read_dataset(path: Path) -> pydicom.Dataset:
    """Read all of a file seen to be DICOM; one without preamble says its syntax by its bytes."""
    found = pydicom.dcmread(path, force=True)
    if "TransferSyntaxUID" not in found.file_meta:
        is_implicit, _ = found.original_encoding
        syntax = ImplicitVRLittleEndian if is_implicit else ExplicitVRLittleEndian
        found.file_meta.TransferSyntaxUID = syntax
    return found


def _read(found: pydicom.Dataset, path: Path) -> Pixels:
    syntax = found.file_meta.TransferSyntaxUID
    if "PixelData" not in found:
        raise RefusedError(Code.TRUNCATED, "the file ends before or within its pixel data")
    if "ModalityLUTSequence" in found:
        raise RefusedError(Code.UNSUPPORTED, "its values go through a modality lookup table")
    if syntax == JPEGExtended12Bit and found.BitsStored > 8:
        return _by_simpleitk(path)
    slope, intercept = (
        float(default if found.get(key) in (None, "") else found.get(key))
        for key, default in (("RescaleSlope", 1.0), ("RescaleIntercept", 0.0))
    )
    _require_rescale(slope, intercept)
    return Pixels(_used_bits(_decoded(found, syntax), found), slope, intercept)


def _require_rescale(slope: float, intercept: float) -> None:
    if not (np.isfinite([slope, intercept]).all() and slope != 0):
        sentence = f"its values are stored times {slope} plus {intercept}"
        raise RefusedError(Code.UNSUPPORTED, sentence)


def _decoded(found: pydicom.Dataset, syntax: UID) -> Shaped[np.ndarray, "row column"]:
    try:
        stored: np.ndarray = found.pixel_array
    except DAMAGE as error:
        if syntax not in NATIVE:
            sentence = (
                f"nothing installed decodes its pixels ({_name(syntax)}), or they are damaged"
            )
            raise RefusedError(Code.UNDECODABLE, sentence) from error
        raise RefusedError(
            Code.TRUNCATED, "its pixel data is shorter than rows by columns"
        ) from error
    if stored.shape != (found.Rows, found.Columns):
        sentence = f"{found.Rows} by {found.Columns} pixels were promised, {stored.shape} came"
        raise RefusedError(Code.TRUNCATED, sentence)
    return stored


def _name(syntax: UID) -> str:
    """Name a transfer syntax; the UID of a private one may say whose archive it is."""
    if syntax in NAMES or not syntax:
        return NAMES.get(syntax, "no transfer syntax")
    return syntax.name if syntax.is_transfer_syntax else "a transfer syntax that is not DICOM's"


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


def _by_simpleitk(path: Path) -> Pixels:
    """Decode 12-bit extended JPEG, which only GDCM within SimpleITK does freely; it rescales."""
    try:
        image = SimpleITK.ReadImage(str(path))
    except RuntimeError as error:
        sentence = f"its pixels ({JPEGExtended12Bit.name}) are damaged"
        raise RefusedError(Code.UNDECODABLE, sentence) from error
    return Pixels(SimpleITK.GetArrayFromImage(image)[0], 1.0, 0.0)


def _integers(slices: Sequence[Pixels]) -> np.dtype[Any]:
    ends = [
        float(end) * pixels.slope + pixels.intercept
        for pixels in slices
        for end in (pixels.stored.min(), pixels.stored.max())
    ]
    for dtype in INTEGERS:
        limits = np.iinfo(dtype)
        if limits.min <= min(ends) and max(ends) <= limits.max:
            return np.dtype(dtype)
    return np.dtype(np.float32)
