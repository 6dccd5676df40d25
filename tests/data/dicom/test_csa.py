"""The private header, against nibabel's reading of it."""

import warnings

import pytest

from medssl.data.dicom.csa import image_header

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # on import, it says that it is experimental
    from nibabel.nicom import csareader

VALUES = {"Long": ["12345", "7"], "SliceNormalVector": ["0.5", "-0.25", "1"], "Empty": []}


def header_of(dicom, content):
    return dicom.mosaic_of(dicom.VOXELS, dicom.AFFINE, csa=content)


def test_names_and_values_are_what_nibabel_reads(dicom):
    content = dicom.csa2(**VALUES)
    expected = {name: tag["items"] for name, tag in csareader.read(content)["tags"].items()}
    ours = image_header(header_of(dicom, content))
    assert ours == VALUES
    assert {name: [float(value) for value in values] for name, values in ours.items()} == expected


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda content: content[:150], "ends early"),
        (lambda content: content[:8] + b"\xff\xff\0\0" + content[12:], "counts 65535 entries"),
    ],
)
def test_a_damaged_header_is_an_error(dicom, damage, message):
    with pytest.raises(ValueError, match=message):
        image_header(header_of(dicom, damage(dicom.csa2(**VALUES))))


def test_another_format_or_none_is_none(dicom):
    assert image_header(header_of(dicom, b"\x65\0\0\0")) is None
    assert image_header(dicom.slice_of(dicom.VOXELS, dicom.AFFINE, 0)) is None
