"""The numbers of slices: decoded, freed of unused bits, with their rescale.

Source: DICOM PS3.3 2024, C.7.6.3.1 (bits allocated and stored), C.11.1 (modality LUT);
PS3.5, 8.2 (transfer syntaxes).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import SimpleITK
from jaxtyping import Shaped
from pydicom.pixels.utils import iter_pixels
from pydicom.uid import UID, ExplicitVRLittleEndian, ImplicitVRLittleEndian, JPEGExtended12Bit

from medssl.data.dicom.quiet import DAMAGE, quietly
from medssl.data.verdicts import Code, RefusedError

INTEGERS = (np.int16, np.uint16, np.int32)


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
        code = Code.UNDECODABLE if _is_compressed(syntax) else Code.TRUNCATED
        sentence = f"its frames cannot be read ({syntax_name(syntax)})"
        raise RefusedError(code, sentence, path) from error
    return [Pixels(stored, *rescale) for stored, rescale in zip(frames, rescales, strict=True)]


def values(slices: Sequence[Pixels]) -> Shaped[np.ndarray, "channel i j k"]:
    """Return rescaled values: integers where they are whole and fit 16 or 32 bits, else float32."""
    whole = all(float(p.slope).is_integer() and float(p.intercept).is_integer() for p in slices)
    dtype = _integers(slices) if whole else np.dtype(np.float32)
    rows, columns = slices[0].stored.shape
    voxels = np.empty((1, columns, rows, len(slices)), dtype)
    for k, pixels in enumerate(slices):
        voxels[0, :, :, k] = (pixels.stored * pixels.slope + pixels.intercept).T
    return voxels


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


def _decoded(found: pydicom.Dataset, syntax: Any) -> Shaped[np.ndarray, "row column"]:
    try:
        stored: np.ndarray = found.pixel_array
    except DAMAGE as error:
        if _is_compressed(syntax):
            sentence = (
                f"nothing installed decodes its pixels ({syntax_name(syntax)}), or they are damaged"
            )
            raise RefusedError(Code.UNDECODABLE, sentence) from error
        raise RefusedError(
            Code.TRUNCATED, "its pixel data is shorter than rows by columns"
        ) from error
    if stored.shape != (found.Rows, found.Columns):
        sentence = f"{found.Rows} by {found.Columns} pixels were promised, {stored.shape} came"
        raise RefusedError(Code.TRUNCATED, sentence)
    return stored


def syntax_name(syntax: UID) -> str:
    """Return the standard's name of a transfer syntax; any other UID may say whose it is."""
    return syntax.name if syntax.is_transfer_syntax else "an unknown transfer syntax"


def _is_compressed(syntax: UID) -> bool:
    return syntax.is_transfer_syntax and syntax.is_compressed and not syntax.is_deflated


def _used_bits(
    stored: Shaped[np.ndarray, "row column"], found: pydicom.Dataset
) -> Shaped[np.ndarray, "row column"]:
    """Drop what stands in bits that are no part of the pixel; restore the sign."""
    bits, used = 8 * stored.dtype.itemsize, int(found.BitsStored)
    if int(found.get("HighBit", used - 1)) != used - 1 or not 0 < used <= bits:
        sentence = f"its pixels are {used} of {bits} bits up to bit {found.get('HighBit')}"
        raise RefusedError(Code.UNSUPPORTED, sentence)
    native = stored.astype(stored.dtype.newbyteorder("="), copy=False)
    # Shifted up and down again: an arithmetic shift for signed types carries the sign.
    return native if used == bits else (native << (bits - used)) >> (bits - used)


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
