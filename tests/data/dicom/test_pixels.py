"""Every transfer syntax decodes as elsewhere or is refused by its name; no value is lost."""

import base64
import io
from fractions import Fraction

import gdcm
import numpy as np
import pydicom
import pytest
import SimpleITK
from PIL import Image
from pydicom import uid

from medssl.data.dicom.header import read_headers
from medssl.data.dicom.images import read_values
from medssl.data.dicom.pixels import Pixels, read_pixels, values
from medssl.data.verdicts import Code, RefusedError

# 12 bits with structure and noise, which no codec represents by chance.
ROWS, COLUMNS = 48, 40
PIXELS = (
    np.add.outer(np.arange(ROWS) ** 2, 31 * np.arange(COLUMNS)) % 3000
    + np.random.default_rng(0).integers(0, 900, (ROWS, COLUMNS))
).astype(np.uint16)
# 16 by 16 pixels, pixel (r, c) = r * r + 31 * c, by OpenJPH 0.26.3.
HTJ2K = base64.b64decode(
    "/0//UQApQAAAAAAQAAAAEAAAAAAAAAAAAAAAEAAAABAAAAAAAAAAAAABDwEB/1AACAACAAAACv9SAAwAAgABAAUEBEAB"
    "/1wAEyCIkJCQkJCQkJCQkJCQiIiI/2QAFwABT3BlbkpQSCBWZXIgMC4yNi4zLv+QAAoAAAAAAJUAAf+TwAAmm/4FB3QA"
    "AMAAE0AAEoA2/gIHdAC2AQd0AMAAE0AAFQAaGgGCdAAf34fvAIa0AMAAFTAABaIKhULxqnECdQD/fz/ogz7og/5AAAAM"
    "ejG4AMAAK2AAF0Kcc8455+fKenpwAngA/3//f/9/DzjggAMOOOCAA/4AAACCAAAMcAaAGipUrbAB/9k="
)


@pytest.fixture
def slice_(dicom, affine):
    """A slice with 12 of 16 bits, or with other pixels."""

    def make(pixels=PIXELS, bits=12, **tags):
        found = dicom.slice_of(pixels.T[:, :, None], affine, 0, **tags)
        found.BitsStored, found.HighBit = bits, bits - 1
        return found

    return make


def encapsulated(found, syntax, content):
    """The data set with these bytes as its one frame."""
    found.PixelData = pydicom.encaps.encapsulate([content])
    found["PixelData"].VR = "OB"
    found["PixelData"].is_undefined_length = True
    found.file_meta.TransferSyntaxUID = syntax
    return found


def by_gdcm(path, kind):
    """Rewrite a file under a syntax that only GDCM encodes."""
    reader = gdcm.ImageReader()
    reader.SetFileName(str(path))
    assert reader.Read()
    change = gdcm.ImageChangeTransferSyntax()
    change.SetTransferSyntax(gdcm.TransferSyntax(kind))
    change.SetInput(reader.GetImage())
    assert change.Change()
    writer = gdcm.ImageWriter()
    writer.SetFileName(str(path))
    writer.SetFile(reader.GetFile())
    writer.SetImage(change.GetOutput())
    assert writer.Write()


@pytest.mark.parametrize("syntax", [uid.ImplicitVRLittleEndian, uid.DeflatedExplicitVRLittleEndian])
def test_uncompressed_syntaxes(tmp_path, dicom, slice_, syntax):
    found = slice_()
    found.file_meta.TransferSyntaxUID = syntax
    stored = read_pixels(dicom.save(found, tmp_path / "a.dcm")).stored
    np.testing.assert_array_equal(stored, PIXELS)


def test_big_endian(tmp_path, slice_):
    found = slice_()
    found.PixelData = PIXELS.astype(">u2").tobytes()
    found.file_meta.MediaStorageSOPClassUID = found.SOPClassUID
    found.file_meta.MediaStorageSOPInstanceUID = found.SOPInstanceUID
    found.file_meta.TransferSyntaxUID = uid.ExplicitVRBigEndian
    found.save_as(tmp_path / "a.dcm", enforce_file_format=True)
    pixels = read_pixels(tmp_path / "a.dcm")
    np.testing.assert_array_equal(pixels.stored, PIXELS)
    assert pixels.stored.dtype.isnative


@pytest.mark.parametrize("syntax", [uid.RLELossless, uid.JPEGLSLossless, uid.JPEG2000Lossless])
def test_lossless_syntaxes_that_pydicom_encodes(tmp_path, dicom, slice_, syntax):
    found = slice_()
    found.compress(syntax, generate_instance_uid=False)
    stored = read_pixels(dicom.save(found, tmp_path / "a.dcm")).stored
    np.testing.assert_array_equal(stored, PIXELS)


@pytest.mark.parametrize(
    "kind", [gdcm.TransferSyntax.JPEGLosslessProcess14, gdcm.TransferSyntax.JPEGLosslessProcess14_1]
)
@pytest.mark.parametrize("offset", [0, -2000])
def test_lossless_jpeg(tmp_path, dicom, slice_, kind, offset):
    pixels = PIXELS if offset == 0 else PIXELS.astype(np.int16) + np.int16(offset)
    path = dicom.save(slice_(pixels, bits=16), tmp_path / "a.dcm")
    by_gdcm(path, kind)
    np.testing.assert_array_equal(read_pixels(path).stored, pixels)


@pytest.mark.parametrize("syntax", [uid.HTJ2KLossless, uid.HTJ2KLosslessRPCL, uid.HTJ2K])
def test_high_throughput_jpeg_2000(tmp_path, dicom, slice_, syntax):
    pixels = np.add.outer(np.arange(16) ** 2, 31 * np.arange(16)).astype(np.uint16)
    path = dicom.save(encapsulated(slice_(pixels, bits=16), syntax, HTJ2K), tmp_path / "a.dcm")
    np.testing.assert_array_equal(read_pixels(path).stored, pixels)


def baseline(found):
    content = io.BytesIO()
    Image.fromarray(found.pixel_array).save(content, "JPEG", quality=95)
    return encapsulated(found, uid.JPEGBaseline8Bit, content.getvalue())


def near(found):
    found.compress(uid.JPEGLSNearLossless, jls_error=3, generate_instance_uid=False)
    return found


def jpeg_2000(found):
    found.compress(uid.JPEG2000, j2k_cr=[4], generate_instance_uid=False)
    return found


@pytest.mark.parametrize("encode", [baseline, near, jpeg_2000])
def test_lossy_syntaxes_are_what_simpleitk_decodes(tmp_path, dicom, slice_, encode):
    found = encode(slice_((PIXELS // 16).astype(np.uint8), bits=8))
    path = dicom.save(found, tmp_path / "a.dcm")
    stored = read_pixels(path).stored
    theirs = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(path))[0]
    assert np.abs(stored.astype(int) - theirs).max() <= 1  # inverse transforms round apart
    assert 0 < np.abs(stored.astype(int) - PIXELS // 16).max() < 40


@pytest.mark.parametrize(
    ("syntax", "name"),
    [
        (uid.MPEG2MPML, "MPEG2 Main Profile / Main Level"),
        (uid.UID("1.2.840.10008.1.2.4.110"), "JPEG XL Lossless"),
        (uid.UID("1.2.840.113619.5.2"), "a transfer syntax that is not DICOM's"),
        (uid.JPEG2000Lossless, "JPEG 2000"),
        (uid.JPEGExtended12Bit, "JPEG Extended"),
    ],
)
def test_what_nothing_decodes_is_refused_by_its_name(tmp_path, dicom, slice_, syntax, name):
    found = encapsulated(slice_(), uid.JPEG2000Lossless, b"no image at all!")
    path = dicom.save(found, tmp_path / "a.dcm")
    old, new = uid.JPEG2000Lossless.encode(), syntax.encode()
    new += b"\0" * (len(new) % 2)
    content = path.read_bytes()
    place = content.index(b"\x02\x00\x10\x00UI")
    length = int.from_bytes(content[place + 6 : place + 8], "little")
    assert content[place + 8 :].startswith(old)
    head = content[: place + 6] + len(new).to_bytes(2, "little") + new
    group = content.index(b"\x02\x00\x00\x00UL\x04\x00") + 8
    total = int.from_bytes(content[group : group + 4], "little") + len(new) - length
    head = head[:group] + total.to_bytes(4, "little") + head[group + 4 :]
    path.write_bytes(head + content[place + 8 + length :])
    with pytest.raises(RefusedError, match=name) as caught:
        read_pixels(path)
    assert caught.value.code is Code.UNDECODABLE
    assert "1.2.840" not in caught.value.sentence


SYNTAXES = {
    "bigendian": 0, "deflated": 0, "gjls": 0, "implicit": 0, "j2k": 0, "jpeg_ext12": 18,
    "jpeg_lossless_p14": 0, "jpegls": 0, "rle": 0,
}  # fmt: skip


@pytest.mark.mirror
@pytest.mark.parametrize(("name", "most"), SYNTAXES.items())
def test_real_slices_are_their_uncompressed_twin_and_what_simpleitk_decodes(mirror, name, most):
    folder = mirror / "dicom_mr_slice_all_syntaxes/data"
    assert {path.stem for path in folder.glob("*.dcm")} == SYNTAXES.keys()
    stored = read_pixels(folder / f"{name}.dcm").stored
    twin = pydicom.dcmread(folder / "implicit.dcm").pixel_array
    assert np.abs(stored.astype(int) - twin).max() <= most  # as measured where it is lossy
    theirs = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(folder / f"{name}.dcm"))[0]
    np.testing.assert_array_equal(stored, theirs)


def volume_of(stored, slope, intercept):
    """The values of stored slices, without the axis of channels."""
    slices = [Pixels.of(plane, slope, intercept) for plane in stored]
    return values(slices)[0].T


BIG = 2**24


@pytest.mark.parametrize(
    ("low", "stored", "slope", "intercept", "expected"),
    [
        (3_000_000_000, np.uint32, 1.0, 0.0, np.uint32),
        (2**32 - 210, np.uint32, 1.0, 0.0, np.uint32),
        (0, np.uint16, 1.0, 3e9, np.uint32),
        (0, np.uint16, 1.0, -3e9, np.float64),
        (2 * BIG, np.int32, 1.0, 0.5, np.float64),
        (BIG // 2, np.int32, 1.0, 0.5, np.float64),  # each halfway between two of float32
        (BIG // 4, np.int32, 1.0, 0.5, np.float32),
        (3_000_000_000, np.uint32, 0.25, 0.0, np.float64),
        (-(2**31), np.int32, -3.0, 0.0, np.float64),
        (0, np.int16, 0.001, 1e6, np.float64),
        (0, np.int16, 0.37, -1024.0, np.float32),
    ],
)
def test_stored_numbers_that_differ_are_values_that_differ(low, stored, slope, intercept, expected):
    numbers = (low + np.arange(210)).reshape(7, 6, 5)
    found = volume_of(numbers.astype(stored), slope, intercept)
    assert found.dtype == expected
    exact = [Fraction(int(n)) * Fraction(slope) + Fraction(intercept) for n in numbers.flat]
    assert len({*found.flat}) == 210
    for value, true in zip(found.flat, exact, strict=True):
        assert abs(Fraction(value.item()) - true) <= abs(Fraction(slope)) / 2


def test_large_numbers_of_32_bits_are_read_from_their_files(tmp_path, dicom, voxels, affine):
    large = (voxels.astype(np.int64) + 3 * 10**9).astype(np.uint32)
    headers = [read_headers(path)[0] for path in dicom.write(tmp_path, large, affine)]
    np.testing.assert_array_equal(read_values(headers)[0], large)
