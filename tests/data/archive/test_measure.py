from dataclasses import replace

import numpy as np
import pydicom
import pytest
from pydicom.uid import JPEGLSLossless, RLELossless

from medssl.data.archive import look
from medssl.data.archive.ledger import Ledger
from medssl.data.archive.measure import cost_bytes, is_seen, measure, measure_unit, unseen
from medssl.data.archive.pseudonyms import Pseudonyms
from medssl.data.archive.scan import scan
from medssl.data.archive.units import find_units
from medssl.data.archive.walk import walk

RNG = np.random.default_rng(0)
VOXELS = RNG.integers(0, 900, (66, 70, 5)).astype(np.int16)


def units(folder, ledger=None):
    ledger = ledger or Ledger(Pseudonyms(bytes(32)))
    ledger.open(walk(folder))
    scan(ledger)
    return list(find_units(ledger))


def written(dicom, voxels):
    """The voxels with letters on one slice."""
    voxels = voxels.copy()
    for letter in range(8):
        voxels[6 + 7 * letter : 10 + 7 * letter, 20:28, 2] = 4000
        voxels[7 + 7 * letter : 9 + 7 * letter, 22:26, 2] = 0
    return voxels


SERIES = {
    "plain": {},
    "signed": {"PixelRepresentation": 1},
    "shifted": {"RescaleIntercept": "-1024"},
    "unsigned": {"RescaleIntercept": "40000"},
    "long": {"RescaleIntercept": "70000"},
    "halves": {"RescaleSlope": "0.5"},
}


@pytest.mark.parametrize("tags", SERIES.values(), ids=SERIES)
@pytest.mark.parametrize("syntax", [None, RLELossless, JPEGLSLossless])
def test_what_is_known_of_slices_is_what_is_known_of_their_volume(tmp_path, dicom, tags, syntax):
    for path in dicom.write(tmp_path, written(dicom, VOXELS), dicom.AFFINE, **tags):
        if syntax is not None:
            found = pydicom.dcmread(path)
            found.compress(syntax, generate_instance_uid=False)
            found.save_as(path)
    (unit,) = units(tmp_path)
    assert is_seen(unit)
    found = measure_unit(unseen(unit))
    assert found == measure(unit.read())
    assert found.has_text
    assert np.dtype(unit.stack.headers[0].content.dtype) == unit.read().voxels.dtype


def test_a_file_that_no_buffer_holds_is_known_as_well(tmp_path, dicom, monkeypatch):
    dicom.write(tmp_path, VOXELS, dicom.AFFINE)
    (unit,) = units(tmp_path)
    with monkeypatch.context() as patched:
        patched.setattr(look, "CHUNK_BYTES", look.HEAD_BYTES + 8)
        patched.setattr(look, "HEAD_BYTES", 2048)
        patched.setattr(look, "CHUNK_BYTES", 4096)
        (other,) = units(tmp_path)
    assert other.key == unit.key
    assert measure_unit(unseen(other)) == measure_unit(unseen(unit))


def test_it_comes_back_from_the_database(tmp_path, dicom):
    dicom.write(tmp_path / "in", VOXELS, dicom.AFFINE)
    for _ in range(2):
        ledger = Ledger(Pseudonyms(bytes(32)), tmp_path / "looks.sqlite")
        (unit,) = units(tmp_path / "in", ledger)
        ledger.close()
        assert measure_unit(unseen(unit)) == measure(unit.read())


def test_slices_that_need_several_types_are_read_as_a_volume(tmp_path, dicom):
    each = {4: {"RescaleIntercept": "40000"}}
    dicom.write(tmp_path, VOXELS, dicom.AFFINE, each=lambda k: each.get(k, {}))
    (unit,) = units(tmp_path)
    assert {header.content.dtype for header in unit.stack.headers} == {"<i2", "<u2"}
    assert not is_seen(unit)
    assert measure_unit(unseen(unit)) == measure(unit.read())


def test_a_slice_that_cannot_be_decoded_is_left_to_its_volume(tmp_path, dicom):
    paths = dicom.write(tmp_path, VOXELS, dicom.AFFINE)
    found = pydicom.dcmread(paths[1])
    found.compress(RLELossless, generate_instance_uid=False)
    found.PixelData = pydicom.encaps.encapsulate([b"no image"])
    found.save_as(paths[1])
    (unit,) = units(tmp_path)
    assert [header.content is None for header in unit.stack.headers] == [0, 1, 0, 0, 0]
    refused = measure_unit(unseen(unit))
    assert (refused.code, refused.path) == ("undecodable", paths[1])


def test_frames_of_a_file_are_read_as_a_volume(tmp_path, dicom):
    dicom.save(dicom.enhanced_of(VOXELS[None], dicom.AFFINE), tmp_path / "a.dcm")
    (unit,) = units(tmp_path)
    assert not is_seen(unit)
    assert measure_unit(unseen(unit)) == measure(unit.read())


def test_what_is_known_costs_three_slices(tmp_path, dicom):
    voxels = np.repeat(VOXELS, 6, axis=2)
    dicom.write(tmp_path, voxels, dicom.AFFINE)
    (unit,) = units(tmp_path)
    headers = tuple(replace(header, content=None) for header in unit.stack.headers)
    unknown = replace(unit, stack=replace(unit.stack, headers=headers))
    assert cost_bytes(unknown) == 10 * cost_bytes(unit)


@pytest.mark.mirror
@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["dicom_ct_chest_cptac", "dicom_mr_sag_anon", "dicom_ct_totalseg_jpeg2000"]
)
def test_real_series_are_known_by_their_slices(mirror, name):
    (unit,) = units(mirror / name)
    assert is_seen(unit)
    assert measure_unit(unseen(unit)) == measure(unit.read())
