"""Instances in several files: what is a copy, what is a conflict, and what it does to the rest."""

from collections import Counter

import numpy as np
import pydicom
import pytest
from pydicom.uid import JPEGLSLossless, RLELossless

from medssl.data.archive.ledger import Ledger
from medssl.data.archive.pseudonyms import Pseudonyms
from medssl.data.archive.read import volumes_of

UIDS = [pydicom.uid.generate_uid() for _ in range(7)]


def named(k):
    return {"SOPInstanceUID": UIDS[k]}


@pytest.fixture
def series(tmp_path, dicom, voxels, affine):
    """Writes a version of one and the same series into a folder below the archive."""

    def write(folder, *, plus=0, each=lambda k: {}, only=range(7), **tags):
        changed = voxels + np.int16(plus)
        skip = set(range(7)) - set(only)
        return dicom.write(
            tmp_path / folder, changed, affine, skip=skip, each=lambda k: named(k) | each(k), **tags
        )

    return write


@pytest.fixture
def looked(tmp_path):
    """Looks at the archive: the volumes, and code and sentence of each file by name."""

    def look():
        ledger = Ledger(Pseudonyms(b"some secret of 16 bytes"))
        volumes = [volume for _, volume in volumes_of(tmp_path, ledger)]
        return volumes, {e.file.name: (str(e.code), e.sentence) for e in ledger.entries.values()}

    return look


def codes(rows):
    return Counter(code for code, _ in rows.values())


@pytest.mark.parametrize("syntax", [RLELossless, JPEGLSLossless])
def test_another_syntax_of_the_same_pixels_is_a_copy(tmp_path, series, looked, voxels, syntax):
    series("a")
    series("b")
    for path in (tmp_path / "b").iterdir():
        found = pydicom.dcmread(path)
        found.compress(syntax, generate_instance_uid=False)
        found.save_as(path)
    (volume,), rows = looked()
    np.testing.assert_array_equal(volume.voxels[0], voxels)
    assert codes(rows) == {"image": 7, "duplicate_file": 7}
    assert "with the same values at the same place" in rows["b/003.dcm"][1]


@pytest.mark.parametrize(
    "tags",
    [{"PatientAge": "040Y"}, {"InstitutionName": "Elsewhere"}, {"PixelSpacing": "0.750\\0.50"}],
)
def test_a_rewritten_header_is_a_copy(series, looked, tags):
    series("a")
    series("b", **tags)
    volumes, rows = looked()
    assert len(volumes) == 1
    assert codes(rows) == {"image": 7, "duplicate_file": 7}


def test_another_rescale_of_the_same_values_is_a_copy(series, looked):
    series("a")
    series("b", plus=10, RescaleSlope=1, RescaleIntercept=-10)
    assert codes(looked()[1]) == {"image": 7, "duplicate_file": 7}


@pytest.mark.parametrize("k", [0, 3, 6])
@pytest.mark.parametrize(
    "change",
    [
        {"plus": 1},
        {"RescaleIntercept": 1},
        {"ImagePositionPatient": [11, -13, 18]},
        {"PixelSpacing": [1, 1]},
    ],
)
def test_an_instance_in_two_versions_takes_its_volume_along(series, looked, k, change):
    series("a")
    series("b", only=[k], **change)
    volumes, rows = looked()
    assert volumes == []
    assert codes(rows) == {"conflict": 2, "missing_slice": 6}
    assert {name for name, (code, _) in rows.items() if code == "conflict"} == {
        f"{folder}/{k:03d}.dcm" for folder in "ab"
    }


def test_the_slice_in_conflict_is_named(series, looked):
    series("a")
    series("b", only=[3, 6], plus=1)
    rows = looked()[1]
    assert rows["a/003.dcm"][1] == (
        "2 files carry the UID of this instance and differ in values or place: nobody knows "
        "which is true; 2 instances of its series are in conflict"
    )
    assert rows["a/001.dcm"][1] == (
        "2 of its 7 slices are in conflict: slices 4 (at 7.5 mm), 7 (at 15 mm)"
    )


def test_copies_of_versions_are_versions(series, looked):
    for folder, plus in [("a", 0), ("b", 1), ("c", 1), ("d", 0)]:
        series(folder, plus=plus, only=[2])
    assert codes(looked()[1]) == {"conflict": 4}


def test_a_whole_series_again_with_other_pixels_is_a_conflict(series, looked):
    series("a")
    series("b", plus=1000)
    volumes, rows = looked()
    assert (volumes, codes(rows)) == ([], {"conflict": 14})
    assert "7 instances of its series are in conflict" in rows["b/000.dcm"][1]


def test_another_volume_of_the_series_stays(series, looked, dicom, tmp_path, voxels, affine):
    series("a")
    series("b", only=[3], plus=1)
    dicom.write(tmp_path / "c", voxels + 500, affine, EchoTime="7")
    (volume,), rows = looked()
    np.testing.assert_array_equal(volume.voxels[0], voxels + 500)
    assert codes(rows) == {"conflict": 2, "missing_slice": 6, "image": 7}


def test_only_the_frame_with_the_conflict_is_refused(looked, dicom, tmp_path, voxels, affine):
    uids = {(f, k): pydicom.uid.generate_uid() for f in range(3) for k in range(7)}

    def frame(folder, number, plus, **how):
        dicom.write(
            tmp_path / folder,
            voxels + np.int16(plus),
            affine,
            each=lambda k: {"SOPInstanceUID": uids[number, k]},
            TemporalPositionIdentifier=number + 1,
            **how,
        )

    for number in range(3):
        frame(str(number), number, 100 * number)
    frame("again", 1, 101, skip=set(range(7)) - {6})
    volumes, rows = looked()
    for volume, plus in zip(volumes, (0, 200), strict=True):
        np.testing.assert_array_equal(volume.voxels[0], voxels + plus)
    assert codes(rows) == {"conflict": 2, "missing_slice": 6, "image": 14}


def test_a_version_at_another_volumes_place_takes_both_volumes_along(series, looked):
    # Which of the echoes the instance is of is not known, so neither is known to be whole.
    series("a")
    series("b", only=[6], EchoTime="7")
    other = [pydicom.uid.generate_uid() for _ in range(7)]
    series("c", only=range(6), EchoTime="7", each=lambda k: {"SOPInstanceUID": other[k]})
    volumes, rows = looked()
    # The same values at the same place: the echo alone is no other image.
    assert rows["b/006.dcm"][0] == "duplicate_file"
    assert len(volumes) == 2
    series("b", only=[6], plus=1, EchoTime="7")
    volumes, rows = looked()
    assert volumes == []
    assert codes(rows) == {"conflict": 2, "missing_slice": 12}


@pytest.mark.parametrize("damaged", ["a", "b"])
def test_a_damaged_version_beside_a_sound_one_is_no_conflict(
    tmp_path, series, looked, voxels, damaged
):
    series("a")
    series("b", only=[3])
    path = tmp_path / damaged / "003.dcm"
    path.write_bytes(path.read_bytes()[:-20])
    (volume,), rows = looked()
    np.testing.assert_array_equal(volume.voxels[0], voxels)
    assert codes(rows) == {"image": 7, "truncated": 1}
    assert rows[f"{damaged}/003.dcm"][0] == "truncated"


def test_versions_that_are_all_damaged_take_their_volume_along(tmp_path, series, looked):
    series("a")
    series("b", only=[3])
    for number, folder in enumerate("ab", start=20):
        path = tmp_path / folder / "003.dcm"
        path.write_bytes(path.read_bytes()[:-number])
    volumes, rows = looked()
    assert (volumes, codes(rows)) == ([], {"truncated": 2, "broken_series": 6})


def test_files_without_instance_uid_are_compared_by_bytes(tmp_path, dicom, looked, voxels, affine):
    for folder in "ab":
        for path in dicom.write(tmp_path / folder, voxels, affine):
            found = pydicom.dcmread(path)
            del found.SOPInstanceUID
            found.file_meta.MediaStorageSOPInstanceUID = "1.2"
            found.save_as(path)
    volumes, rows = looked()
    assert len(volumes) == 1
    assert codes(rows) == {"image": 7, "duplicate_file": 7}


def test_the_same_instances_in_two_visits_are_two_volumes(series, looked):
    series("a")
    series("b", plus=1000, StudyInstanceUID="1.2.9")
    volumes, rows = looked()
    assert [int(volume.voxels.min()) for volume in volumes] == [-50, 950]
    assert codes(rows) == {"image": 14}


def test_enhanced_images_are_compared_frame_by_frame(tmp_path, dicom, looked, voxels, affine):
    def save(name, volume, **tags):
        found = dicom.enhanced_of(volume[None], affine, SOPInstanceUID="1.2.77", **tags)
        dicom.save(found, tmp_path / name)

    save("a.dcm", voxels)
    save("b.dcm", voxels, PatientAge="040Y")
    volumes, rows = looked()
    assert (len(volumes), codes(rows)) == (1, {"image": 1, "duplicate_file": 1})
    changed = voxels.copy()
    changed[0, 0, 5] += 1
    save("c.dcm", changed)
    volumes, rows = looked()
    assert (volumes, codes(rows)) == ([], {"conflict": 3})
