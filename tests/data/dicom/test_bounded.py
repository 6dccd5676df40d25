import struct
import zlib

import numpy as np
import pydicom
import pytest
from hostile.elements import with_nested
from pydicom import uid

from medssl.data.dicom.bounded import MOST_ELEMENTS, BoundedFile
from medssl.data.dicom.header import read_dataset, read_headers
from medssl.data.dicom.kinds import require_slices
from medssl.data.dicom.pixels import read_pixels
from medssl.data.verdicts import RefusedError


def deflated(path, dicom, voxels, affine, *, behind):
    """Write a deflated slice, with so many bytes behind its pixels."""
    found = dicom.slice_of(voxels, affine, 0)
    found.file_meta.TransferSyntaxUID = uid.DeflatedExplicitVRLittleEndian
    dicom.save(found, path)
    content = path.read_bytes()
    (length,) = struct.unpack_from("<I", content, 140)
    start = 144 + length
    plain = zlib.decompress(content[start:], -zlib.MAX_WBITS)
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    packed = packer.compress(plain)
    for _ in range(behind >> 20):
        packed += packer.compress(bytes(1 << 20))
    path.write_bytes(content[:start] + packed + packer.flush())
    return path


def test_a_deflated_slice_is_read(tmp_path, dicom, voxels, affine):
    path = deflated(tmp_path / "a.dcm", dicom, voxels, affine, behind=0)
    np.testing.assert_array_equal(read_pixels(path).stored, voxels[:, :, 0].T)


@pytest.mark.slow
@pytest.mark.parametrize("read", [read_headers, read_pixels])
def test_a_deflated_file_that_does_not_end_is_not_inflated(tmp_path, dicom, voxels, affine, read):
    path = deflated(tmp_path / "a.dcm", dicom, voxels, affine, behind=400 << 20)
    assert path.stat().st_size < 1 << 20
    with pytest.raises(
        RefusedError, match="unsupported: a deflated DICOM file of more than 256 MiB"
    ):
        read(path)


def test_a_header_of_very_many_elements_is_left(tmp_path, dicom, voxels, affine):
    path = dicom.save(dicom.slice_of(voxels, affine, 0), tmp_path / "a.dcm")
    content = path.read_bytes()
    place = content.index(b"\x10\x00\x20\x00")
    empty = struct.pack("<HH2sH", 0x09, 0x1001, b"LO", 0) * MOST_ELEMENTS
    path.write_bytes(content[:place] + empty + content[place:])
    with pytest.raises(RefusedError, match="a DICOM header of more than 100000 elements"):
        read_headers(path)


def test_what_lies_behind_the_pixels_is_not_read(tmp_path, dicom, voxels, affine):
    found = dicom.slice_of(voxels, affine, 0)
    found.compress(uid.RLELossless, generate_instance_uid=False)
    path = dicom.save(found, tmp_path / "a.dcm")
    path.write_bytes(path.read_bytes() + struct.pack("<HH2sHI", 0xFFFE, 1, b"OB", 0, 2**32 - 2))
    np.testing.assert_array_equal(read_pixels(path).stored, voxels[:, :, 0].T)


def test_a_file_is_asked_for_no_more_than_it_has(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(b"12345")
    with BoundedFile(path) as file:
        assert file.read(2) == b"12"
        assert file.read(1 << 62) == b"345"
        assert file.read(1) == b""


@pytest.mark.parametrize("is_ended", [True, False])
@pytest.mark.parametrize("is_undefined", [True, False])
def test_sequences_in_sequences_have_an_end(tmp_path, dicom, is_ended, is_undefined):
    found = dicom.enhanced_of(dicom.VOXELS[None], dicom.AFFINE)
    del found.PerFrameFunctionalGroupsSequence
    path = dicom.save(found, tmp_path / "a.dcm")
    content = with_nested(
        path.read_bytes(), (0x5200, 0x9230), 10_000, is_undefined=is_undefined, is_ended=is_ended
    )
    path.write_bytes(content)
    with pytest.raises(RefusedError, match=r"unreadable|multi_frame"):
        require_slices(read_headers(path))


def test_a_number_of_the_wrong_length_is_a_verdict_without_its_bytes(tmp_path, dicom):
    path = dicom.save(dicom.enhanced_of(dicom.VOXELS[None], dicom.AFFINE), tmp_path / "a.dcm")
    content = path.read_bytes()
    place = content.index(b"\x28\x00\x10\x00US")
    name = b"Mary"
    path.write_bytes(
        content[:place] + b"\x28\x00\x10\x00US\x03\0" + name[:3] + content[place + 10 :]
    )
    assert pydicom.config.settings.reading_validation_mode != pydicom.config.IGNORE
    with pytest.raises(RefusedError, match=r"unreadable: .*BytesLengthException") as caught:
        read_headers(path)
    assert "Mar" not in str(caught.value)


def with_meta(content, meta):
    """Return a file's content with more meta information."""
    (length,) = struct.unpack_from("<I", content, 140)
    end = 144 + length
    return (
        content[:140]
        + struct.pack("<I", length + len(meta))
        + content[144:end]
        + meta
        + content[end:]
    )


def with_items(content, count, *, length):
    """Return a file's content with a sequence of empty items before the pixels."""
    place = content.index(b"\xe0\x7f\x10\x00O")
    items = struct.pack("<HHI", 0xFFFE, 0xE000, 0) * count
    sequence = struct.pack("<HH2sHI", 0x0040, 0x0275, b"SQ", 0, length or len(items)) + items
    end = struct.pack("<HHI", 0xFFFE, 0xE0DD, 0) if length else b""
    return content[:place] + sequence + end + content[place:]


@pytest.mark.parametrize(
    "change",
    [
        lambda content: with_meta(content, struct.pack("<HH2sHI", 2, 0x102, b"OB", 0, 0) * 150_000),
        lambda content: with_items(content, 150_000, length=2**32 - 1),
    ],
)
def test_a_file_of_nothing_but_empty_elements_is_left(tmp_path, dicom, voxels, affine, change):
    path = dicom.save(dicom.slice_of(voxels, affine, 0), tmp_path / "a.dcm")
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(RefusedError, match=r"unreadable: .* made of elements without content"):
        read_headers(path)


def test_a_sequence_of_nothing_but_empty_items_is_not_looked_into(tmp_path, dicom):
    found = dicom.enhanced_of(dicom.VOXELS[None], dicom.AFFINE)
    path = dicom.save(found, tmp_path / "a.dcm")
    content = path.read_bytes()
    path.write_bytes(with_items(content, 1000, length=None))
    assert len(read_headers(path)) == found.NumberOfFrames
    path.write_bytes(with_items(content, 60_000, length=None))
    read_headers(path)  # which does not ask for this one
    with pytest.raises(RefusedError, match="a DICOM sequence of more than 52400 items in 480000"):
        read_dataset(path)
