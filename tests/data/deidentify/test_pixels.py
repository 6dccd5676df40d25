"""Comments within compressed pixels: gone, with every length and every pixel as it was."""

import io

import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.encaps import encapsulate, generate_frames
from pydicom.uid import ExplicitVRLittleEndian, JPEGLSLossless, RLELossless

from medssl.data.deidentify.pixels import blanked, pixels

NAME = b"Zephyrowska"
PLANE = np.random.default_rng(0).integers(0, 255, (40, 48)).astype(np.uint8)


def by_pillow(form, **options):
    stream = io.BytesIO()
    Image.fromarray(PLANE).save(stream, form, **options)
    return stream.getvalue()


def decoded(frame):
    return np.asarray(Image.open(io.BytesIO(frame)))


FRAMES = {
    "JPEG": by_pillow("JPEG", comment=NAME, quality=90),
    "progressive JPEG": by_pillow("JPEG", comment=NAME, quality=90, progressive=True),
    "JPEG with EXIF": by_pillow("JPEG", exif=b"Exif\0\0" + NAME, quality=90),
    "JPEG with text behind it": by_pillow("JPEG", quality=90) + NAME + b"\0",
    "JPEG 2000": by_pillow("JPEG2000", comment=NAME, no_jp2=True),
    "JPEG 2000 in tiles": by_pillow("JPEG2000", comment=NAME, no_jp2=True, tile_size=(16, 16)),
    "JPEG 2000 with text behind it": by_pillow("JPEG2000", no_jp2=True) + NAME + b"\0",
}


@pytest.mark.parametrize("kind", FRAMES)
def test_a_comment_is_blanked_and_no_pixel_changes(kind):
    frame = FRAMES[kind]
    assert NAME in frame
    told = encapsulate([frame, frame])
    silent = blanked(told)
    assert NAME not in silent
    assert len(silent) == len(told)
    for copy in generate_frames(silent, number_of_frames=2):
        np.testing.assert_array_equal(decoded(copy), decoded(frame))


def compressed(uid):
    found = pydicom.Dataset()
    found.file_meta = pydicom.dataset.FileMetaDataset()
    found.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    found.Rows, found.Columns = PLANE.shape
    found.SamplesPerPixel, found.PhotometricInterpretation = 1, "MONOCHROME2"
    found.BitsAllocated = found.BitsStored = 8
    found.HighBit, found.PixelRepresentation = 7, 0
    found.SOPInstanceUID = "1.2.3"
    found.PixelData = PLANE.tobytes()
    if uid is not None:
        found.compress(uid, generate_instance_uid=False)
    return found


def test_a_comment_in_jpeg_ls_is_blanked():
    found = compressed(JPEGLSLossless)
    (frame,) = generate_frames(found.PixelData, number_of_frames=1)
    comment = b"\xff\xfe" + (len(NAME) + 2).to_bytes(2, "big") + NAME
    found.PixelData = encapsulate([frame[:2] + comment + frame[2:] + b"\0"])
    made = pixels(found, JPEGLSLossless)
    assert NAME not in made.value
    found.PixelData = made.value
    np.testing.assert_array_equal(found.pixel_array, PLANE)


@pytest.mark.parametrize("syntax", [JPEGLSLossless, RLELossless])
def test_pixels_without_a_comment_are_the_same_bytes(syntax):
    found = compressed(syntax)
    made = pixels(found, syntax)
    assert made.value == found.PixelData
    assert made.is_undefined_length


def test_what_stands_behind_native_pixels_is_cut_off():
    found = compressed(None)
    found.PixelData = PLANE.tobytes() + NAME
    assert pixels(found, ExplicitVRLittleEndian).value == PLANE.tobytes()
    found.Rows, found.Columns = 1, 3
    assert pixels(found, ExplicitVRLittleEndian).value == PLANE.tobytes()[:3] + b"\0"
