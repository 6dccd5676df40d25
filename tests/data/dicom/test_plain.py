import numpy as np
import pydicom
import pytest
from pydicom.uid import ImplicitVRLittleEndian

from medssl.data.dicom import header as header_module
from medssl.data.dicom.header import TAGS, read_headers
from medssl.data.dicom.plain import plain_header, read_beginning
from medssl.data.verdicts import RefusedError


def is_plain(path):
    return plain_header(read_beginning(path).content, TAGS) is not None


def headers(path):
    """The headers of a file, or the words of its refusal."""
    try:
        return read_headers(path)
    except RefusedError as refusal:
        return str(refusal)


def assert_as_pydicom(path, monkeypatch):
    """Compare with what pydicom reads."""
    ours = headers(path)
    with monkeypatch.context() as patched:
        patched.setattr(header_module, "plain_header", lambda *_: None)
        theirs = headers(path)
    # It may step over what pydicom stumbles on, and reads nothing otherwise.
    assert ours == theirs or isinstance(theirs, str)


@pytest.fixture
def slice_file(tmp_path, dicom, voxels, affine):
    def write(change=lambda found: None):
        (path,) = dicom.write(tmp_path, voxels, affine, skip=range(1, 7))
        found = pydicom.dcmread(path)
        change(found)
        found.save_as(path)
        return path

    return write


def some_of_all(found):
    found.SpecificCharacterSet = "ISO_IR 100"
    found.PatientName = "A^B"
    found.ImageType = ["ORIGINAL", "PRIMARY ", "", "AXIAL"]
    found.EchoTime, found.EchoNumbers = "4.60", "02"
    found.RescaleSlope, found.RescaleIntercept = "1.50", "-3"
    found.PatientAge, found.PatientSex = "077Y", "F"
    found.DiffusionBValue, found.DiffusionGradientOrientation = 1000.0, [0.0, 0.6, 0.8]
    found.AcquisitionDate, found.AcquisitionTime = "20200102", "101112.25"
    found.add_new(0x00091010, "OB", b"private" * 9)


def undefined_lengths(found):
    inner = pydicom.Dataset()
    inner.PatientID, inner.is_undefined_length_sequence_item = "not this one", True
    found.ReferencedImageSequence = [inner, pydicom.Dataset()]
    found["ReferencedImageSequence"].is_undefined_length = True


@pytest.mark.parametrize("change", [lambda found: None, some_of_all, undefined_lengths])
def test_a_plain_header_is_as_pydicom_reads_it(slice_file, monkeypatch, change):
    path = slice_file(change)
    assert is_plain(path)
    assert_as_pydicom(path, monkeypatch)


def implicit(found):
    found.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian


def umlaut(found):
    found.SpecificCharacterSet, found.PatientID = "ISO_IR 100", "Müller"


def japanese(found):
    found.SpecificCharacterSet, found.PatientID = ["", "ISO 2022 IR 87"], "山田"


def far(found):
    found.add_new(0x00091010, "OB", b"\0" * 270_000)


def table(found):
    found.ModalityLUTSequence = [pydicom.Dataset()]


@pytest.mark.parametrize("change", [implicit, umlaut, japanese, far, table])
def test_what_is_not_plain_is_left_to_pydicom(slice_file, monkeypatch, change):
    path = slice_file(change)
    assert not is_plain(path)
    assert_as_pydicom(path, monkeypatch)


def test_a_header_that_is_cut_or_garbled_is_never_read_otherwise(slice_file, monkeypatch):
    path = slice_file(some_of_all)
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    header_bytes = whole.index(b"\xe0\x7f\x10\x00")
    for length in rng.integers(0, len(whole), 60):
        path.write_bytes(whole[:length])
        assert_as_pydicom(path, monkeypatch)
    for place in rng.integers(132, header_bytes, 200):
        garbled = bytearray(whole)
        garbled[place] ^= 1 << rng.integers(8)
        path.write_bytes(garbled)
        assert_as_pydicom(path, monkeypatch)


@pytest.mark.mirror
@pytest.mark.long
def test_real_headers_are_as_pydicom_reads_them(mirror, monkeypatch):
    paths = [path for path in sorted(mirror.glob("dicom_*/**/*")) if path.is_file()]
    assert sum(map(is_plain, paths)) > 400
    for path in paths:
        assert_as_pydicom(path, monkeypatch)
