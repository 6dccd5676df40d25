"""What a case says of its values, against files that hold them."""

import numpy as np
import pytest
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from medssl.data.archive.ledger import Ledger
from medssl.data.archive.pseudonyms import Pseudonyms
from medssl.data.archive.read import volumes_of
from medssl.data.dicom.content import content
from medssl.data.dicom.header import read_headers


def case_of(folder):
    ((case, volume),) = volumes_of(folder, Ledger(Pseudonyms(b"some secret of 16 bytes")))
    return case, volume


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRLittleEndian])
@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        ({"PixelPaddingValue": -2000, "PixelPaddingRangeLimit": -1900}, ("-3024", "-2924")),
        ({"PixelPaddingValue": -2000, "RescaleSlope": 2}, ("-5024", None)),
        ({"PixelRepresentation": 0, "PixelPaddingValue": 63536}, ("62512", None)),
        ({}, (None, None)),
    ],
)
def test_padding_is_said_in_rescaled_values(
    tmp_path, dicom, voxels, affine, syntax, tags, expected
):
    for k in range(7):
        found = dicom.slice_of(voxels, affine, k, RescaleIntercept=-1024, RescaleSlope=1)
        found.file_meta.TransferSyntaxUID = syntax
        dicom.save(dicom.change(found, tags), tmp_path / f"{k}.dcm")
    case, _ = case_of(tmp_path)
    names = ("padding_value", "padding_range_limit")
    assert tuple(case.attributes.get(name) for name in names) == expected


@pytest.mark.parametrize(
    ("value", "is_signed", "expected"),
    [(63536, 1, "-2000"), (-2000, 1, "-2000"), (63536, 0, "63536"), (b"\x30\xf8", 1, "-2000")],
)
def test_padding_has_the_sign_of_the_pixels_however_it_is_written(value, is_signed, expected):
    said = {"PixelPaddingValue": value, "PixelRepresentation": is_signed, "BitsAllocated": 16}
    assert content(said)["padding_value"] == expected


@pytest.mark.parametrize(
    ("value", "is_signed", "expected"),
    [
        (-2000 & 0xFFF, 1, "-2000"),
        (-2000 & 0xFFFF, 1, "-2000"),
        (-2000, 1, "-2000"),
        (2000, 1, "2000"),
        (-2000 & 0xFFF, 0, "2096"),
        (-(2**15), 1, None),  # which 12 bits cannot hold
        (-2000 & 0xFFFF, 0, None),
    ],
)
def test_padding_is_of_the_stored_bits_as_the_pixels_are(
    tmp_path, dicom, voxels, affine, value, is_signed, expected
):
    padded = voxels + 100
    padded[0] = value % 2**12
    tags = {"BitsStored": 12, "HighBit": 11, "PixelRepresentation": is_signed}
    for k in range(7):
        found = dicom.slice_of(padded, affine, k, **tags)
        found.add_new("PixelPaddingValue", "SS" if value < 0 else "US", value)
        dicom.save(found, tmp_path / f"{k}.dcm")
    case, volume = case_of(tmp_path)
    assert case.attributes.get("padding_value") == expected
    if expected is not None:
        np.testing.assert_array_equal(volume.voxels[0, 0], int(expected))
        assert (volume.voxels[0, 1:] != int(expected)).all()


def test_padding_is_only_said_where_it_is_one_value(tmp_path, dicom, voxels, affine):
    def each(k):
        return {"RescaleSlope": k + 1, "PixelPaddingValue": -50}

    dicom.write(tmp_path, voxels, affine, each=each)
    case, _ = case_of(tmp_path)
    assert case.attributes == {"rescale": "of each slice its own"}


def test_monochrome1_is_kept_as_stored_and_said(tmp_path, dicom, voxels, affine):
    dicom.write(tmp_path, voxels, affine, PhotometricInterpretation="MONOCHROME1")
    case, volume = case_of(tmp_path)
    np.testing.assert_array_equal(volume.voxels[0], voxels)
    assert case.attributes == {"photometric": "MONOCHROME1"}


def test_units_of_pet_are_said(tmp_path, dicom, voxels, affine):
    dicom.write(tmp_path, voxels, affine, Modality="PT", Units="BQML")
    assert case_of(tmp_path)[0].attributes == {"units": "BQML"}


def test_big_endian_numbers_are_numbers(tmp_path, dicom, voxels, affine):
    found = dicom.slice_of(voxels, affine, 0, PixelPaddingValue=-2000)
    found.PixelData = voxels[:, :, 0].T.astype(">i2").tobytes()
    found.file_meta.TransferSyntaxUID = ExplicitVRBigEndian
    (header,) = read_headers(dicom.save(found, tmp_path / "a.dcm"))
    assert header.attributes["padding_value"] == "-2000"
