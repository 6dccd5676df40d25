"""`index` with `deidentified`: a copy that makes the same volumes and says nothing else."""

import runpy
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import nibabel
import numpy as np
import pyarrow.parquet as pq
import pydicom
import pytest
import yaml

from medssl.data.manifest import read_manifest
from medssl.data.source import Source
from pipelines.__main__ import main


@pytest.fixture(scope="module")
def dicom():
    return SimpleNamespace(**runpy.run_path(str(Path(__file__).parents[1] / "dicom_series.py")))


def index(tmp_path, root, out="out", *, status=0, **more):
    """Index a folder, with copies unless told otherwise, under the first index's key."""
    config = tmp_path / "index.yaml"
    key = tmp_path / "out" / "private" / "key"
    tree = {"sources": [{"root": str(root)}], "output": str(tmp_path / out)}
    tree |= {"key": str(key)} if key.exists() else {}
    config.write_text(yaml.safe_dump(tree | more))
    assert main(["index", str(config)]) == status
    return None if status else read_manifest(tmp_path / out / "manifest.parquet")


def copy(tmp_path, root, **more):
    return index(tmp_path, root, deidentified=str(tmp_path / "copies"), **more)


def volumes(manifest, folder):
    source = Source(folder)
    return sorted(
        (case.digest, tuple(case.affine), source.image(case).voxels.tobytes()) for case in manifest
    )


def stamps(folder):
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


def test_a_copy_lies_under_its_ids_and_makes_the_same_volumes(tmp_path, dicom, capsys):
    dicom.write(tmp_path / "in" / "a", PatientID="A", SeriesInstanceUID="1.7")
    for study, voxels in (("1.2.3", dicom.VOXELS), ("1.2.4", dicom.VOXELS + 9)):
        dicom.write(tmp_path / "in" / study, voxels, StudyInstanceUID=study)  # one series UID
    enhanced = dicom.enhanced_of(
        np.stack([dicom.VOXELS, dicom.VOXELS * 2]),
        dicom.AFFINE,
        each=lambda volume, k: {"FrameContentSequence": {"TemporalPositionIndex": volume}},
        SeriesInstanceUID="1.8",
    )
    dicom.save(enhanced, tmp_path / "in" / "enhanced.dcm")
    manifest = copy(tmp_path, tmp_path / "in")
    assert ["copied", "files", "22"] in [s.split() for s in capsys.readouterr().out.splitlines()]
    files = pq.read_table(tmp_path / "out/private/files.parquet").to_pylist()
    ids = {case.case_id: case for case in manifest}
    expected = {
        tmp_path / "copies" / case.subject_id / case.study_id / case.series_id / f"{file}.dcm"
        for row in files
        for case, file in [(ids[row["case_id"]], row["file_id"])]
    }
    assert {path for path in (tmp_path / "copies").rglob("*") if path.is_file()} == expected
    again = index(tmp_path, tmp_path / "copies", "again")
    assert len(manifest) == 4 + 1
    assert volumes(again, tmp_path / "again") == volumes(manifest, tmp_path / "out")


def test_days_between_visits_survive(tmp_path, dicom):
    for number, day in enumerate(["20190520", "20200101", None]):
        tags = {"StudyInstanceUID": f"1.2.{number}", "SeriesInstanceUID": f"1.2.{number}.1"}
        tags |= {} if day is None else {"StudyDate": day, "StudyTime": "140000"}
        dicom.write(tmp_path / "in" / str(number), dicom.VOXELS + number, **tags)
    manifest = copy(tmp_path, tmp_path / "in")
    assert [case.attributes.get("study_day") for case in manifest] == ["0", "226", None]
    again = index(tmp_path, tmp_path / "copies", "again")
    days = {case.digest: case.attributes.get("study_day") for case in manifest}
    assert {case.digest: case.attributes.get("study_day") for case in again} == days


def test_what_may_show_text_and_what_private_elements_describe_is_left_out(tmp_path, dicom, capsys):
    dicom.write(tmp_path / "in" / "a", BurnedInAnnotation="YES", SeriesInstanceUID="1.1")
    dicom.write(tmp_path / "in" / "b", ConversionType="DV", SeriesInstanceUID="1.2")
    dicom.save(dicom.mosaic_of(dicom.VOXELS, dicom.AFFINE), tmp_path / "in" / "mosaic.dcm")
    voxels = np.arange(2 * 3 * 4 * 2, dtype=np.int16).reshape(2, 3, 4, 2)
    nibabel.save(nibabel.Nifti1Image(voxels, np.eye(4)), tmp_path / "in" / "frames.nii.gz")
    manifest = copy(tmp_path, tmp_path / "in")
    assert not (tmp_path / "copies").exists()
    rows = pq.read_table(tmp_path / "out" / "copies.parquet").to_pylist()
    reasons = {row["case_id"]: row["reason"] for row in rows}
    assert Counter(reasons.values()) == {
        "text in its pixels is declared": 1,
        "text in its pixels is suspected: its conversion type is DV": 1,
        "its slices are tiles of one image, and only private elements say how": 1,
        "it is no DICOM series": 2,
    }
    assert set(reasons) == {case.case_id for case in manifest}
    printed = capsys.readouterr().out
    assert "not copied: text in its pixels is declared" in printed


def test_the_copy_of_a_case_that_turns_out_to_show_text_is_removed(tmp_path, dicom):
    dicom.write(tmp_path / "in" / "a", SeriesInstanceUID="1.1")
    dicom.write(tmp_path / "in" / "b", SeriesInstanceUID="1.2")
    copy(tmp_path, tmp_path / "in")
    assert len(stamps(tmp_path / "copies")) == 14
    dicom.write(tmp_path / "in" / "a", SeriesInstanceUID="1.1", BurnedInAnnotation="YES")
    copy(tmp_path, tmp_path / "in")
    assert len(stamps(tmp_path / "copies")) == 7


def test_a_second_run_writes_what_is_missing_or_changed_and_nothing_else(tmp_path, dicom):
    dicom.write(tmp_path / "in" / "a", StudyDate="20200101")
    dicom.write(tmp_path / "in" / "b", PatientID="B", SeriesInstanceUID="1.9")
    copy(tmp_path, tmp_path / "in")
    before = stamps(tmp_path / "copies")
    copy(tmp_path, tmp_path / "in")
    assert stamps(tmp_path / "copies") == before
    gone = sorted(before)[3]
    gone.unlink()
    copy(tmp_path, tmp_path / "in")
    after = stamps(tmp_path / "copies")
    assert after.keys() == before.keys()
    assert [path for path in after if after[path] != before[path]] == [gone]
    # An earlier study moves all dates of its patient, and of no one else.
    dicom.write(
        tmp_path / "in" / "0", StudyDate="20191231", StudyInstanceUID="1.5", SeriesInstanceUID="1.6"
    )
    copy(tmp_path, tmp_path / "in")
    last = stamps(tmp_path / "copies")
    moved = {path for path in after if last[path] != after[path]}
    assert len(moved) == 7
    assert {pydicom.dcmread(path).StudyDate for path in moved} == {"20000102"}


@pytest.mark.parametrize("inner", ["in/copies", "in", ".", "link/copies"])
def test_a_folder_of_copies_within_or_around_a_source_is_refused(tmp_path, dicom, capsys, inner):
    dicom.write(tmp_path / "in")
    (tmp_path / "link").symlink_to(tmp_path / "in")
    index(tmp_path, tmp_path / "in", status=2, deidentified=str(tmp_path / inner))
    error = capsys.readouterr().err
    assert "deidentified: expected a folder apart from sources.0.root" in error
    assert not (tmp_path / "out").exists()


@pytest.mark.mirror
@pytest.mark.slow
@pytest.mark.parametrize(
    "folder",
    [
        *(
            pytest.param(folder, marks=pytest.mark.long)
            for folder in (
                "dicom_4d_mosaic_nih", "dicom_ct_chest_cptac", "dicom_enhanced_mr",
                "dicom_mr_sag_anon",
            )
        ),
        "dicom_ct_gantry_tilt", "dicom_ct_totalseg_jpeg2000", "dicom_rtstruct",
        "dicom_seg_highdicom",
    ],
)  # fmt: skip
def test_copies_of_real_series_make_the_same_volumes_and_rows(mirror, tmp_path, folder):
    resample = {"resample": {"tilted": True, "uneven": True}}
    manifest = copy(tmp_path, mirror / folder, **resample)
    rows = pq.read_table(tmp_path / "out" / "copies.parquet").to_pylist()
    copied = {row["case_id"] for row in rows if row["status"] == "copied"}
    assert copied
    again = index(tmp_path, tmp_path / "copies", "again", **resample)
    before = sorted(described(case) for case in manifest if case.case_id in copied)
    assert sorted(described(case) for case in again) == before


def described(case):
    attributes = sorted(case.attributes.items())
    said = (case.modality, case.body_part, case.sequence, case.scanner, case.sex, case.age_years)
    return case.digest, case.affine, case.frame or 0, str(said), attributes
