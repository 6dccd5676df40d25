"""The heads of compressed frames, which other readers must read the same way."""

import io
import struct

import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom import uid
from pydicom.encaps import encapsulate, generate_frames

from medssl.data.dicom.codestreams import MOST_PIXELS, Promise, promise_of, require_modest
from medssl.data.dicom.pixels import read_pixels
from medssl.data.verdicts import Code, RefusedError

SHAPE = (48, 40, 3)  # columns, rows, slices
SIZ, SOF = b"\xff\x4f\xff\x51", {uid.JPEGLSLossless: b"\xff\xf7", uid.JPEG2000Lossless: b"\xff\x51"}


@pytest.fixture
def slice_in(dicom, affine):
    """A compressed slice."""

    def write(syntax):
        voxels = np.random.default_rng(0).integers(-900, 900, SHAPE, np.int16)
        found = dicom.slice_of(voxels, affine, 1)
        found.compress(syntax, generate_instance_uid=False)
        return found

    return write


def frame_of(found):
    (frame,) = generate_frames(found.PixelData, number_of_frames=1)
    return frame


@pytest.mark.parametrize("syntax", [uid.JPEGLSLossless, uid.JPEG2000Lossless])
def test_a_head_promises_what_was_encoded(slice_in, syntax):
    assert promise_of(frame_of(slice_in(syntax))) == Promise(40, 48, 1, 16)


def test_a_head_of_jpeg_promises_what_pillow_reads():
    stream = io.BytesIO()
    Image.fromarray(np.zeros((40, 48, 3), np.uint8)).save(stream, "JPEG", progressive=True)
    assert promise_of(stream.getvalue()) == Promise(40, 48, 3, 8)


@pytest.mark.parametrize(
    "frame", [b"", b"\xff\xd8", b"\xff\xd8\xff\xc0\0", SIZ, SIZ * 30, b"x" * 99]
)
def test_a_frame_without_a_head_promises_nothing(frame):
    assert promise_of(frame) is None


def test_a_marker_without_length_has_an_end():
    assert promise_of(b"\xff\xd8" + b"\xff\xfe\0\0" * 1000) is None


def damaged(found, change, path):
    found.PixelData = encapsulate([change(frame_of(found))])
    found.save_as(path, enforce_file_format=True)
    return path


def larger(syntax):
    """Return how to make the head of a frame promise 60,000 pixels along an axis."""
    form, skip = (">I", 6) if syntax == uid.JPEG2000Lossless else (">H", 5)

    def change(frame):
        place = frame.index(SOF[syntax]) + skip
        return frame[:place] + struct.pack(form, 60_000) + frame[place + struct.calcsize(form) :]

    return change


@pytest.mark.parametrize("syntax", [uid.JPEGLSLossless, uid.JPEG2000Lossless])
def test_a_frame_that_promises_more_than_the_header_is_not_decoded(tmp_path, slice_in, syntax):
    path = damaged(slice_in(syntax), larger(syntax), tmp_path / "a.dcm")
    with pytest.raises(RefusedError, match=r"60000.*where the DICOM header says 40 by 48"):
        read_pixels(path)


@pytest.mark.parametrize("syntax", [uid.JPEGLSLossless, uid.JPEG2000Lossless])
def test_a_frame_that_ends_early_is_not_filled_up(tmp_path, slice_in, syntax):
    path = damaged(slice_in(syntax), lambda frame: frame[:-100], tmp_path / "a.dcm")
    with pytest.raises(RefusedError, match="truncated: a compressed frame that ends early"):
        read_pixels(path)


@pytest.mark.parametrize("syntax", [uid.JPEGLSLossless, uid.JPEG2000Lossless, uid.RLELossless])
def test_a_compressed_slice_is_decoded_whole(tmp_path, slice_in, syntax):
    found = slice_in(syntax)
    found.save_as(tmp_path / "a.dcm", enforce_file_format=True)
    expected = pydicom.dcmread(tmp_path / "a.dcm").pixel_array
    np.testing.assert_array_equal(read_pixels(tmp_path / "a.dcm").stored, expected)


def test_a_syntax_that_nothing_decodes_is_named(tmp_path, slice_in):
    found = slice_in(uid.JPEG2000Lossless)
    found.file_meta.TransferSyntaxUID = uid.MPEG2MPML
    found.save_as(tmp_path / "a.dcm", enforce_file_format=True)
    with pytest.raises(
        RefusedError, match=f"nothing installed decodes its pixels .{uid.MPEG2MPML.name}"
    ):
        read_pixels(tmp_path / "a.dcm")


@pytest.mark.parametrize(
    ("pixels", "frames", "encoded", "code"),
    [
        (512 * 512, 1, 200, None),  # blank
        (512 * 512, 3000, 2_000_000, None),
        (512 * 512, 3000, 2_000, Code.UNDECODABLE),
        (MOST_PIXELS + 1, 1, 10**9, Code.UNSUPPORTED),
    ],
)
def test_more_pixels_than_what_is_there_can_encode_are_refused(pixels, frames, encoded, code):
    if code is None:
        require_modest(pixels, frames, encoded)
        return
    with pytest.raises(RefusedError) as caught:
        require_modest(pixels, frames, encoded)
    assert caught.value.code is code
