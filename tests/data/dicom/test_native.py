import numpy as np
import pydicom
import pytest
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    RLELossless,
)

from medssl.data.dicom.header import read_headers
from medssl.data.dicom.images import read_images
from medssl.data.dicom.pixels import Pixels, values
from medssl.data.verdicts import Code, RefusedError


@pytest.fixture
def written(tmp_path, dicom, voxels, affine):
    """Write one slice after a change; return its path and its header."""

    def write(change=lambda found: None, **tags):
        (path,) = dicom.write(tmp_path, voxels, affine, skip=range(1, 7), **tags)
        found = pydicom.dcmread(path)
        change(found)
        found.save_as(path)
        return path, read_headers(path)[0]

    return write


def stored(header):
    (pixels,) = read_images([header])
    return pixels.stored


@pytest.mark.parametrize("syntax", [None, ImplicitVRLittleEndian])
def test_pixels_are_read_from_their_place(written, syntax):
    def change(found):
        if syntax:
            found.file_meta.TransferSyntaxUID = syntax

    path, header = written(change, RescaleSlope="2", RescaleIntercept="-7")
    assert header.native is not None
    assert header.native[-2:] == (2.0, -7.0)
    np.testing.assert_array_equal(stored(header), pydicom.dcmread(path).pixel_array)


@pytest.mark.parametrize(("used", "is_signed"), [(12, True), (12, False), (16, False)])
def test_unused_bits_are_dropped_and_the_sign_kept(written, used, is_signed):
    def change(found):
        found.BitsStored, found.HighBit = used, used - 1
        found.PixelRepresentation = int(is_signed)
        values = np.frombuffer(found.PixelData, "<u2") & ((1 << used) - 1)
        noise = 0b1010 << 12 if used == 12 else 0
        found.PixelData = (values | noise).astype("<u2").tobytes()

    path, header = written(change)
    assert header.native is not None
    plain = pydicom.dcmread(path)
    values = np.frombuffer(plain.PixelData, "<u2").astype(int) & ((1 << used) - 1)
    if is_signed:
        values -= (values >> (used - 1)) << used
    np.testing.assert_array_equal(stored(header).ravel(), values)


def compress(found):
    found.compress(RLELossless)


def deflate(found):
    found.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian


@pytest.mark.parametrize("change", [compress, deflate])
def test_what_needs_a_decoder_is_left_to_one(written, change):
    path, header = written(change)
    assert header.native is None
    np.testing.assert_array_equal(stored(header), pydicom.dcmread(path).pixel_array)


def test_a_file_that_lost_its_end_is_not_read_from_its_place(written):
    path, _ = written()
    path.write_bytes(path.read_bytes()[:-2])
    (header,) = read_headers(path)
    assert header.native is None
    with pytest.raises(RefusedError) as caught:
        read_images([header])
    assert caught.value.code is Code.TRUNCATED


def test_a_file_that_loses_its_end_later_is_refused(written):
    path, header = written()
    path.write_bytes(path.read_bytes()[:-2])
    with pytest.raises(RefusedError, match="ends before or within its pixel data") as caught:
        read_images([header])
    assert caught.value.path == path


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint16])
@pytest.mark.parametrize(
    "rescales", [[(1, 0)], [(1, -1024)], [(1, 3), (1, -9)], [(2, 1)], [(0.5, 0)]]
)
def test_values_take_the_place_of_what_was_stored(dtype, rescales):
    rng, ends = np.random.default_rng(0), np.iinfo(dtype)
    for low, high in ((ends.min, ends.max), (max(ends.min, -50), 120)):
        stored = rng.integers(low, high, (3, 5, 4), dtype=dtype, endpoint=True)
        chosen = [rescales[n % len(rescales)] for n in range(3)]
        literal = np.stack(
            [x.astype(float) * s + i for x, (s, i) in zip(stored, chosen, strict=True)]
        )
        room = stored.copy()
        slices = [Pixels.of(x, *map(float, of)) for x, of in zip(room, chosen, strict=True)]
        apart = [Pixels.of(x, *map(float, of)) for x, of in zip(stored, chosen, strict=True)]
        found = values(slices, room)
        np.testing.assert_array_equal(found[0].T, literal)
        np.testing.assert_array_equal(found, values(apart))
        assert found.dtype == values(apart).dtype
        fits = found.dtype.kind in "iu" and chosen[0][0] == 1 and room.itemsize == found.itemsize
        assert np.may_share_memory(found, room) == fits


def test_frames_that_need_no_decoder_are_read_from_their_places(tmp_path, dicom):
    def each(_, k):
        rescale = {"RescaleSlope": str(1 + k), "RescaleIntercept": str(-k), "RescaleType": "US"}
        return {"PixelValueTransformationSequence": rescale}

    found = dicom.enhanced_of(dicom.VOXELS[None], dicom.AFFINE, each=each)
    path = dicom.save(found, tmp_path / "a.dcm")
    headers = read_headers(path)
    assert all(header.native is not None for header in headers)
    assert [header.native[-2:] for header in headers] == [header.rescale for header in headers]
    ours = [pixels.stored for pixels in read_images(headers)]
    np.testing.assert_array_equal(ours, pydicom.dcmread(path).pixel_array)
    path.write_bytes(path.read_bytes()[:-2])
    assert [header.native for header in read_headers(path)] == [None] * len(headers)
    with pytest.raises(RefusedError) as caught:
        read_images(read_headers(path))
    assert caught.value.code is Code.TRUNCATED
