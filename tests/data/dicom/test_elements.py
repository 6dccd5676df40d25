import pydicom
import pytest
from hostile.elements import put
from pydicom.multival import MultiValue
from pydicom.valuerep import DSfloat, PersonName

from medssl.data.dicom.elements import numbers, text
from medssl.data.dicom.header import read_headers


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (None, ""),
        (" HEAD\0", "HEAD"),
        (MultiValue(str, ["A", " B"]), "A\\B"),
        (DSfloat("1.50"), "1.50"),
        (7, "7"),
        (b"Doe^Jane", ""),
        (PersonName("Doe^Jane"), ""),
        (pydicom.Sequence([pydicom.Dataset()]), ""),
    ],
)
def test_a_value_of_another_kind_says_nothing(value, said):
    assert text(value) == said


@pytest.mark.parametrize("value", [None, "12", b"12", 1.5, [1.0], [1.0, 2.0, 3.0]])
def test_two_numbers_are_two_numbers(value):
    assert numbers(value, 2) is None
    assert numbers(["1", 2], 2) == (1.0, 2.0)


@pytest.mark.parametrize("vr", [b"DS", b"LO", b"OB"])
def test_two_letters_are_no_pixel_spacing(tmp_path, dicom, voxels, affine, vr):
    path = dicom.save(dicom.slice_of(voxels, affine, 0), tmp_path / "a.dcm")
    path.write_bytes(put(path.read_bytes(), (0x28, 0x30), vr, b"12"))
    assert read_headers(path)[0].pixel_spacing_mm is None
