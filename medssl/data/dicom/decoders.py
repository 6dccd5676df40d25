"""Frames from a data set, each transfer syntax through one decoder, once it is safe to.

Source: DICOM PS3.5 2024, 8.2 (transfer syntaxes of pixels), A.4 (encapsulated frames).
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pydicom
import SimpleITK
from jaxtyping import Shaped
from pydicom import uid
from pydicom.encaps import encapsulate, generate_frames
from pydicom.pixels.utils import iter_pixels

from medssl.data.dicom.codestreams import require_kept, require_modest
from medssl.data.dicom.quiet import DAMAGE
from medssl.data.verdicts import Code, RefusedError

NATIVE = {uid.ImplicitVRLittleEndian, uid.ExplicitVRLittleEndian, uid.ExplicitVRBigEndian}
# The names are pydicom's, but for the one that reads files.
SIMPLEITK = "SimpleITK"
DECODERS: Mapping[uid.UID, str] = {
    uid.JPEGBaseline8Bit: "pillow",
    uid.JPEGExtended12Bit: "pillow",
    uid.JPEGLossless: SIMPLEITK,
    uid.JPEGLosslessSV1: SIMPLEITK,
    uid.JPEGLSLossless: "pyjpegls",
    uid.JPEGLSNearLossless: "pyjpegls",
    uid.JPEG2000Lossless: "pylibjpeg",
    uid.JPEG2000: "pylibjpeg",
    uid.HTJ2KLossless: "pylibjpeg",
    uid.HTJ2KLosslessRPCL: "pylibjpeg",
    uid.HTJ2K: "pylibjpeg",
    uid.RLELossless: "pydicom",
}
# Younger than pydicom's dictionary.
YOUNG = {
    "1.2.840.10008.1.2.4.110": "JPEG XL Lossless",
    "1.2.840.10008.1.2.4.111": "JPEG XL JPEG Recompression",
    "1.2.840.10008.1.2.4.112": "JPEG XL",
}

Frame = Shaped[np.ndarray, "row column"]


def frames_at(found: pydicom.Dataset, indices: Sequence[int]) -> list[Frame]:
    """Return some frames of a data set as they are stored.

    Args:
        found: With its pixels and its transfer syntax.
        indices: Which ones, from 0.

    Raises:
        RefusedError: If the pixels end early, are damaged or need a decoder that is not there.
    """
    syntax = found.file_meta.TransferSyntaxUID
    if syntax in NATIVE or syntax == uid.DeflatedExplicitVRLittleEndian:
        try:
            return list(iter_pixels(found, indices=indices))
        except DAMAGE as error:
            sentence = "its pixel data is shorter than rows by columns"
            raise RefusedError(Code.TRUNCATED, sentence) from error
    name = _name(syntax)
    if syntax not in DECODERS:
        raise RefusedError(Code.UNDECODABLE, f"nothing installed decodes its pixels ({name})")
    try:
        _require_safe(found, syntax)
        return list(_decoded(found, syntax, indices))
    except RefusedError:
        raise
    except DAMAGE as error:
        sentence = f"its pixels cannot be decoded ({name}): they are damaged"
        raise RefusedError(Code.UNDECODABLE, sentence) from error


def _name(syntax: uid.UID) -> str:
    """Name a transfer syntax; the UID of a private one may say whose archive it is."""
    if syntax in YOUNG:
        return YOUNG[syntax]
    return syntax.name if syntax.is_transfer_syntax else "a transfer syntax that is not DICOM's"


def _require_safe(found: pydicom.Dataset, syntax: uid.UID) -> None:
    rows, columns = int(found.Rows), int(found.Columns)
    num_frames = int(found.get("NumberOfFrames") or 1)
    require_modest(rows * columns, num_frames, len(found.PixelData))
    require_kept(
        _encoded(found), syntax, rows=rows, columns=columns, bits_allocated=found.BitsAllocated
    )


def _encoded(found: pydicom.Dataset) -> Iterator[bytes]:
    offsets = found.get("ExtendedOffsetTable"), found.get("ExtendedOffsetTableLengths")
    yield from generate_frames(
        found.PixelData,
        number_of_frames=int(found.get("NumberOfFrames") or 1),
        extended_offsets=None if None in offsets else offsets,
    )


def _decoded(found: pydicom.Dataset, syntax: uid.UID, indices: Sequence[int]) -> Iterator[Frame]:
    is_12_bit = syntax == uid.JPEGExtended12Bit and found.BitsStored > 8
    name = SIMPLEITK if is_12_bit else DECODERS[syntax]
    if name != SIMPLEITK:
        yield from iter_pixels(found, indices=indices, decoding_plugin=name)
        return
    encoded = list(_encoded(found))
    for index in indices:
        yield _by_simpleitk(encoded[index], found)


def _by_simpleitk(encoded: bytes, found: pydicom.Dataset) -> Frame:
    """Decode JPEG of 12 and more bits, by GDCM as it is in SimpleITK.

    python-gdcm cannot decode all of it, and a damaged frame ends the process. SimpleITK reads
    files: one that has the frame and nothing else.
    """
    plain = pydicom.Dataset()
    plain.file_meta = pydicom.dataset.FileMetaDataset()
    plain.file_meta.TransferSyntaxUID = found.file_meta.TransferSyntaxUID
    plain.SOPClassUID = uid.CTImageStorage
    plain.SOPInstanceUID = uid.generate_uid()
    plain.SamplesPerPixel, plain.PhotometricInterpretation = 1, "MONOCHROME2"
    for name in ("Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit"):
        setattr(plain, name, int(found[name].value))
    plain.PixelRepresentation = int(found.PixelRepresentation)
    plain.PixelData = encapsulate([encoded])
    with TemporaryDirectory() as folder:
        path = Path(folder) / "frame.dcm"
        plain.save_as(path, enforce_file_format=True)
        image = SimpleITK.ReadImage(path)
    return SimpleITK.GetArrayFromImage(image)[0]
