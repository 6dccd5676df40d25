"""The stage `index`: every file accounted for, no name outside `private/`, honest splits."""

import base64
import json
import os
import runpy
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import nibabel
import numpy as np
import pyarrow.parquet as pq
import pytest
import SimpleITK
import yaml

from medssl.data.archive.private import path_of
from medssl.data.archive.pseudonyms import Pseudonyms
from medssl.data.manifest import read_manifest
from medssl.data.source import Source
from medssl.data.volume import digest
from pipelines.__main__ import main

SURNAME, GIVEN = "Zephyrowska", "Quillabamba"


@pytest.fixture(scope="module")
def dicom():
    return SimpleNamespace(**runpy.run_path(str(Path(__file__).parents[1] / "dicom_series.py")))


def index(tmp_path, *sources, status=0, **more):
    """Run the stage on these sources and return the manifest and the verdicts."""
    config = tmp_path / "index.yaml"
    config.write_text(
        yaml.safe_dump({"sources": list(sources), "output": str(tmp_path / "out"), **more})
    )
    assert main(["index", str(config)]) == status
    if status:
        return None
    verdicts = pq.read_table(tmp_path / "out" / "verdicts.parquet").to_pylist()
    return list(read_manifest(tmp_path / "out" / "manifest.parquet")), verdicts


def nifti(path, seed=0, shape=(4, 5, 6), affine=None, dtype=np.int16):
    path.parent.mkdir(parents=True, exist_ok=True)
    voxels = np.random.default_rng(seed).integers(0, 99, shape).astype(dtype)
    nibabel.save(nibabel.Nifti1Image(voxels, np.eye(4) if affine is None else affine), path)
    return path


def pairs(root, number, *, missing_label=(), missing_image=()):
    for n in range(number):
        if n not in missing_image:
            nifti(root / "images" / f"case_{n:02d}.nii.gz", n)
        if n not in missing_label:
            nifti(root / "labels" / f"case_{n:02d}.nii.gz", n, dtype=np.uint8)
    return {"root": str(root / "images"), "labels": {"folder": str(root / "labels")}}


def test_files_in_are_files_accepted_and_refused(tmp_path, dicom, capsys):
    dicom.write(tmp_path / "in" / "good")
    dicom.write(tmp_path / "in" / "gap", skip={3}, SeriesInstanceUID="1.9")
    nifti(tmp_path / "in" / "v.nii.gz")
    (tmp_path / "in" / "notes.txt").write_text("no image")
    cases, verdicts = index(tmp_path, {"root": str(tmp_path / "in")})
    assert len(cases) == 2
    assert len(verdicts) == 7 + 6 + 1 + 1
    codes = [(row["status"], row["code"]) for row in verdicts]
    assert codes.count(("accepted", "image")) == 8
    assert codes.count(("refused", "missing_slice")) == 6
    assert codes.count(("refused", "not_an_image")) == 1
    assert {row["case_id"] for row in verdicts} == {None, *(case.case_id for case in cases)}
    printed = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["files", "15"] in printed
    assert ["refused:", "missing_slice", "6"] in printed


def other_format(path, seed=0, shape=(4, 5, 6), dtype=np.int16):
    """Write what `nifti` writes, by SimpleITK."""
    path.parent.mkdir(parents=True, exist_ok=True)
    voxels = np.random.default_rng(seed).integers(0, 99, shape).astype(dtype)
    image = SimpleITK.GetImageFromArray(voxels.T)
    image.SetDirection(np.diag([-1.0, -1.0, 1.0]).ravel())  # +x and +y are right and front here
    SimpleITK.WriteImage(image, path)
    return path


@pytest.mark.parametrize("suffix", ["nrrd", "nhdr", "mha", "mhd"])
def test_a_volume_is_the_same_case_in_every_format(tmp_path, suffix):
    nifti(tmp_path / "in" / "a.nii.gz", 7)
    other_format(tmp_path / "in" / f"b.{suffix}", 7)
    nifti(tmp_path / "labels" / "a.nii.gz", 8, dtype=np.uint8)
    other_format(tmp_path / "labels" / f"b.{suffix}", 8, dtype=np.uint8)
    source = {"root": str(tmp_path / "in"), "labels": {"folder": str(tmp_path / "labels")}}
    cases, verdicts = index(tmp_path, source)
    assert cases[0].digest == cases[1].digest
    assert cases[0].affine == cases[1].affine == np.eye(4).ravel().tolist()
    # voxels beside their header are of its case
    num_files = 2 if suffix in {"nrrd", "mha"} else 3
    assert [row["code"] for row in verdicts].count("image") == num_files
    assert {row["status"] for row in verdicts} == {"accepted"}
    read = Source(tmp_path / "out")
    for one, other in zip(*([read.image(case), read.label(case)] for case in cases), strict=True):
        np.testing.assert_array_equal(one.voxels, other.voxels)


def test_a_tilted_series_is_resampled_where_the_config_allows_it(tmp_path, dicom):
    def tilted(k):
        place = np.array(dicom.slice_of(dicom.VOXELS, dicom.AFFINE, k).ImagePositionPatient, float)
        return {"ImagePositionPatient": dicom.decimals(place + np.array([0, 0.2 * k, 0]))}

    dicom.write(tmp_path / "in", each=tilted)
    source = {"root": str(tmp_path / "in")}
    cases, verdicts = index(tmp_path, source)
    assert not cases
    assert {row["code"] for row in verdicts} == {"sheared"}
    (case,), verdicts = index(tmp_path, source, resample={"tilted": True})
    assert {row["code"] for row in verdicts} == {"image"}
    assert "as under a gantry tilt" in case.attributes["resampled"]
    volume = Source(tmp_path / "out").image(case)
    assert list(volume.voxels.shape[1:]) == case.shape
    assert digest(volume) == case.digest
    # The middle of each slice is where it was, in the patient and in the volume.
    for k in range(7):
        lps = np.array(tilted(k)["ImagePositionPatient"], float)
        i, j, found_k = (np.linalg.inv(volume.affine) @ [-lps[0], -lps[1], lps[2], 1])[:3]
        assert found_k == pytest.approx(k)
        low = np.floor([i + 2, j + 2]).astype(int)
        share_i, share_j = i + 2 - low[0], j + 2 - low[1]
        four = volume.voxels[0, low[0] : low[0] + 2, low[1] : low[1] + 2, k].astype(float)
        between = [1 - share_i, share_i] @ four @ [1 - share_j, share_j]
        assert between == pytest.approx(dicom.VOXELS[2, 2, k], abs=1.5)


def test_units_and_burned_in_text_are_kept_of_the_cases_that_have_them(tmp_path, dicom):
    dicom.write(tmp_path / "in" / "a", Units="BQML", BurnedInAnnotation="YES")
    dicom.write(tmp_path / "in" / "b", SeriesInstanceUID="1.9", BurnedInAnnotation="NO")
    cases, _ = index(tmp_path, {"root": str(tmp_path / "in")})
    assert [case.attributes for case in cases] == [{"units": "BQML", "burned_in": "declared"}, {}]


def test_of_a_header_known_words_are_kept_and_others_hidden(tmp_path, dicom):
    tags = {"Manufacturer": "SIEMENS", "ManufacturerModelName": f"Skyra {SURNAME}"}
    tags |= {"BodyPartExamined": SURNAME.upper(), "SequenceName": "*tfl3d1_16ns"}
    dicom.write(tmp_path / "in", **tags)
    ((case,), _) = index(tmp_path, {"root": str(tmp_path / "in")})
    hidden = Pseudonyms((tmp_path / "out/private/key").read_bytes())
    assert case.scanner == f"SIEMENS Skyra {hidden('text', SURNAME).upper()}"
    assert case.body_part == hidden("text", SURNAME.upper()).upper()
    assert case.sequence == "*tfl3d1_16ns"


def test_the_record_of_a_run_has_no_path_of_the_archive(tmp_path, capsys):
    source = pairs(tmp_path / SURNAME, 3)
    source |= {"include": f"*{SURNAME}*", "subject": {"csv": f"{tmp_path}/{SURNAME}.csv"}}
    tracker = {"name": "mlflow", "uri": f"sqlite:///{tmp_path}/mlflow.db"}
    index(tmp_path, source, status=2, tracker=tracker)
    index(tmp_path, {"root": source["root"], "include": "*.nii.gz"}, tracker=tracker)
    with closing(sqlite3.connect(tmp_path / "mlflow.db")) as base:
        record = "\n".join(base.iterdump())
    kept = "".join(p.read_text() for p in (tmp_path / "mlartifacts").rglob("config.yaml"))
    assert "sources.0" not in capsys.readouterr().out
    for text in (record, kept):
        assert "*.nii.gz" in text
        assert SURNAME not in text
    private = yaml.safe_load((tmp_path / "out/private/config.yaml").read_text())
    assert private["sources"][0]["root"] == source["root"]


def test_a_file_whose_name_is_no_utf8_is_indexed_and_found_again(tmp_path):
    path = nifti(tmp_path / "in" / os.fsdecode(b"M\xfcller.nii.gz"))
    ((case,), _) = index(tmp_path, {"root": str(tmp_path / "in")})
    assert digest(Source(tmp_path / "out").image(case)) == case.digest
    (row,) = pq.read_table(tmp_path / "out/private/files.parquet").to_pylist()
    assert row["path"].startswith("file://")
    assert path_of(row["path"]) == path


def test_voxels_beside_a_header_share_its_fate(tmp_path):
    path = other_format(tmp_path / "in" / "v.mhd", shape=(40, 50, 60))
    path.write_text(path.read_text().replace("CompressedData = False", "CompressedData = True"))
    cases, verdicts = index(tmp_path, {"root": str(tmp_path / "in")})
    assert not cases
    assert sorted(row["code"] for row in verdicts) == ["broken_series", "truncated"]


def planted(dicom, root):
    """An archive that names its patient in tags, folders and files, in good and bad series."""
    full = f"{SURNAME}^{GIVEN}"
    words = {
        "PatientName": full,
        "PatientID": f"ID{SURNAME}77",
        "SeriesDescription": f"head of {GIVEN}",
        "StudyDescription": SURNAME,
        "InstitutionName": f"{SURNAME} clinic",
        "ReferringPhysicianName": full,
        "PatientComments": full,
    }
    folder = root / f"{SURNAME}_{GIVEN}"
    dicom.write(folder / GIVEN, **words)
    dicom.write(folder / "gap", skip={2}, SeriesInstanceUID="1.9", **words)
    cut = dicom.write(folder / "cut", SeriesInstanceUID="1.10", **words)[1]
    cut.write_bytes(cut.read_bytes()[:-9])
    nifti(folder / f"{GIVEN}.nii.gz")
    nifti(root.parent / "labels" / folder.name / f"{GIVEN}.nii.gz", dtype=np.uint8)
    (folder / f"{SURNAME}.txt").write_text(full)
    return {
        "root": str(root),
        "labels": {"folder": str(root.parent / "labels"), "unpaired": "keep"},
    }


def test_no_planted_name_leaves_the_private_folder(tmp_path, dicom, capfd):
    source = planted(dicom, tmp_path / "in")
    cases, _ = index(tmp_path, source)
    assert len(cases) == 2
    out = tmp_path / "out"
    forms = []
    for word in (SURNAME, GIVEN):
        for spelled in (word, word.upper(), word.lower()):
            forms += [spelled.encode(), spelled.encode("utf-16-le"), spelled.encode("utf-16-be")]
            for shift in range(3):  # base64 of a word depends on where in a triple it begins
                coded = base64.b64encode(b"-" * shift + spelled.encode())
                forms.append(coded[4:-4])
    searched = 0
    for path in out.rglob("*"):
        if not path.is_file() or path.is_relative_to(out / "private"):
            continue
        content = path.read_bytes() + str(path.relative_to(out)).encode()
        assert not [form for form in forms if form in content], path
        tables = pq.read_table(path).to_pylist()
        assert not [word for word in (SURNAME, GIVEN) if word.lower() in str(tables).lower()]
        searched += 1
    assert searched == 2
    printed = "".join(capfd.readouterr())
    assert SURNAME not in printed
    assert GIVEN not in printed
    private = (out / "private" / "files.parquet").read_bytes()
    assert SURNAME.encode() in private  # or the search above could not fail


def test_an_error_about_unpaired_files_names_ids_not_patients(tmp_path, dicom, capfd):
    source = planted(dicom, tmp_path / "in")
    source["labels"]["unpaired"] = "error"
    index(tmp_path, source, status=2)
    printed = "".join(capfd.readouterr())
    assert "images without label" in printed
    assert SURNAME not in printed
    assert GIVEN not in printed


def shipped(name, root):
    """The source of a shipped config, with its data set's folder put in the place of its own."""
    (source,) = yaml.safe_load(Path(f"configs/index/{name}.yaml").read_text())["sources"]
    text = yaml.safe_dump(source).replace(source["root"], str(root))
    return yaml.safe_load(text)


def labeled_by(cases, out):
    """For each case: the voxels of its label, by the first voxel of its image."""
    read = Source(out)
    return {
        int(read.image(case).voxels[0, 0, 0, 0]): read.label(case).voxels.tolist()
        for case in cases
        if case.label_uri is not None
    }


def test_nnunets_layout_is_read_by_its_config(tmp_path):
    root = tmp_path / "Dataset001_X"
    expected = {}
    for n in range(3):
        image = nifti(root / f"imagesTr/c{n}_0000.nii.gz", n)
        nifti(root / f"imagesTr/c{n}_0001.nii.gz", n + 10)
        label = nifti(root / f"labelsTr/c{n}.nii.gz", n + 20, dtype=np.uint8)
        first = int(nibabel.load(image).dataobj[0, 0, 0])
        expected[first] = [np.asarray(nibabel.load(label).dataobj).tolist()]
    (root / "dataset.json").write_text("{}")
    cases, verdicts = index(tmp_path, shipped("nnunet", root))
    assert labeled_by(cases, tmp_path / "out") == expected
    assert {row["status"] for row in verdicts} == {"accepted"}
    nifti(root / "labelsTr/c7.nii.gz", dtype=np.uint8)
    index(tmp_path, shipped("nnunet", root), status=2)  # a label whose image is not there


def test_a_decathlons_list_says_which_label_is_whose(tmp_path):
    root = tmp_path / "Task01_X"
    image = nifti(root / "imagesTr/a.nii.gz", 1)
    nifti(root / "imagesTr/b.nii.gz", 2)
    label = nifti(root / "labelsTr/other_name.nii.gz", 3, dtype=np.uint8)
    pairs = [{"image": "./imagesTr/a.nii.gz", "label": "./labelsTr/other_name.nii.gz"}]
    (root / "dataset.json").write_text(json.dumps({"training": pairs}))
    source = shipped("msd", root)
    source["labels"]["unpaired"] = "keep"
    cases, _ = index(tmp_path, source)
    assert len(cases) == 2
    first = int(nibabel.load(image).dataobj[0, 0, 0])
    assert labeled_by(cases, tmp_path / "out") == {
        first: [np.asarray(nibabel.load(label).dataobj).tolist()]
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "expected a JSON file whose `training` lists pairs"),
        ('{"training": [{"image": "a.nii"}]}', "lists pairs of `image` and `label`, got KeyError"),
        (
            '{"training": [{"image": "imagesTr/a.nii", "label": "../../x.nii"}]}',
            "a row names one elsewhere",
        ),
    ],
)
def test_a_list_that_is_none_or_leads_elsewhere_is_an_error(tmp_path, capsys, text, message):
    root = tmp_path / "Task01_X"
    nifti(root / "imagesTr/a.nii.gz")
    (root / "dataset.json").write_text(text)
    index(tmp_path, shipped("msd", root), status=2)
    assert message in " ".join(capsys.readouterr().err.split())


def test_bids_is_read_by_its_config_with_a_subjects_sessions_together(tmp_path):
    root = tmp_path / "bids"
    number = 0
    for subject, session in [("sub-1", "ses-a/"), ("sub-1", "ses-b/"), ("sub-2", "")]:
        where, number = f"{subject}/{session}anat", number + 1
        stem = f"{subject}_{session[:-1]}_" if session else f"{subject}_"
        nifti(root / where / f"{stem}T1w.nii.gz", number)
        nifti(root / where / f"{stem}T2w.nii.gz", number + 10)
        nifti(root / "derivatives/labels" / where / f"{stem}dseg.nii.gz", dtype=np.uint8)
    cases, _ = index(tmp_path, shipped("bids", root))
    assert len(cases) == 3
    assert all(case.label_uri for case in cases)
    first, second, third = (case.subject_id for case in cases)
    assert first == second != third


def test_a_label_path_is_made_of_the_images_groups(tmp_path, capsys):
    nifti(tmp_path / "in/a.nii.gz")
    match = {"image": "(?P<case>.+)_0000", "label": "labels/{name}.nii.gz"}
    index(tmp_path, {"root": str(tmp_path / "in"), "labels": {"match": match}}, status=2)
    assert "expected one of the named groups ['case']" in " ".join(capsys.readouterr().err.split())


def test_the_private_folder_is_for_its_owner_only(tmp_path, dicom):
    dicom.write(tmp_path / "in")
    index(tmp_path, {"root": str(tmp_path / "in")})
    private = tmp_path / "out" / "private"
    modes = {path.name: path.stat().st_mode & 0o777 for path in [private, *private.iterdir()]}
    ours = dict.fromkeys(["key", "files.parquet", "looks.sqlite", "config.yaml"], 0o600)
    assert modes == {"private": 0o700} | ours


def test_a_key_that_others_can_read_is_refused(tmp_path, dicom, capsys):
    dicom.write(tmp_path / "in")
    key = tmp_path / "key"
    key.write_bytes(b"some secret of 16 bytes")
    key.chmod(0o644)
    index(tmp_path, {"root": str(tmp_path / "in")}, key=str(key), status=2)
    assert "key: others than its owner can read this key (mode 644); chmod 600" in (
        capsys.readouterr().err
    )
    key.chmod(0o600)
    ((case,), _) = index(tmp_path, {"root": str(tmp_path / "in")}, key=str(key))
    shutil.rmtree(tmp_path / "out")
    ((again,), _) = index(tmp_path, {"root": str(tmp_path / "in")}, key=str(key))
    assert case == again


def written(folder):
    """What a run leaves behind, but for its notes on what need not be read again."""
    return {
        path.relative_to(folder): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.suffix != ".sqlite"
    }


def test_a_second_run_writes_the_same_bytes(tmp_path, dicom):
    source = planted(dicom, tmp_path / "in")
    index(tmp_path, source)
    first = written(tmp_path / "out")
    index(tmp_path, source)
    assert written(tmp_path / "out") == first


@pytest.mark.parametrize(
    ("unpaired", "num_cases", "num_labels"), [("keep", 5, 4), ("refuse", 4, 4)]
)
def test_images_and_labels_left_over_are_treated_as_asked(
    tmp_path, unpaired, num_cases, num_labels
):
    source = pairs(tmp_path / "in", 7, missing_label=[1], missing_image=[2, 5])
    source["labels"]["unpaired"] = unpaired
    cases, verdicts = index(tmp_path, source)
    assert len(cases) == num_cases
    assert sum(case.label_uri is not None for case in cases) == num_labels
    codes = [row["code"] for row in verdicts]
    assert codes.count("label_without_image") == 2
    assert codes.count("image_without_label") == (unpaired == "refuse")


def test_images_and_labels_left_over_are_an_error_unless_asked_otherwise(tmp_path, capsys):
    source = pairs(tmp_path / "in", 7, missing_label=[1], missing_image=[2, 5])
    index(tmp_path, source, status=2)
    (line,) = capsys.readouterr().err.splitlines()
    assert "sources.0: 2 labels without image (" in line
    assert "1 images without label (" in line
    assert "set labels.unpaired to `keep` or `refuse`" in line
    paths = pq.read_table(tmp_path / "out/private/files.parquet").to_pylist()
    named = [row["path"] for row in paths if row["file_id"] in line]
    assert sorted(Path(path).parts[-2:] for path in named) == [
        ("images", "case_01.nii.gz"),
        ("labels", "case_02.nii.gz"),
        ("labels", "case_05.nii.gz"),
    ]


def test_test_subjects_stand_at_evenly_spaced_places_among_the_labeled(tmp_path):
    source = pairs(tmp_path / "in", 12, missing_label=[0, 3])
    source["labels"]["unpaired"] = "keep"
    cases, _ = index(tmp_path, source, split={"test": 4, "val": 2})
    # Of the labeled 1 2 4 5 6 7 8 9 10 11 the places 0 3 6 9, then 0 and 5 of what is left.
    chosen = ["train"] * 12
    for number in (1, 5, 8, 11):
        chosen[number] = "test"
    for number in (2, 10):
        chosen[number] = "val"
    assert [case.split for case in cases] == chosen


def test_labels_of_test_cases_stay_closed(tmp_path):
    source = pairs(tmp_path / "in", 6)
    for number in (0, 5):  # the ends are for test
        (tmp_path / f"in/labels/case_{number:02d}.nii.gz").write_bytes(b"no label at all")
    cases, _ = index(tmp_path, source, split={"test": 2})
    assert [case.split == "test" for case in cases] == [True, *[False] * 4, True]
    assert all(case.label_uri for case in cases)


def test_a_label_off_its_images_grid_is_refused(tmp_path):
    source = pairs(tmp_path / "in", 4)
    labels = tmp_path / "in/labels"
    nifti(labels / "case_01.nii.gz", shape=(4, 5, 7))
    moved = np.eye(4)
    moved[0, 3] = 0.01
    nifti(labels / "case_02.nii.gz", affine=moved)
    # Flipped along i: other numbers, the same places.
    nifti(labels / "case_03.nii.gz", affine=np.diag([-1.0, 1, 1, 1]) + 3 * np.eye(4, k=3))
    cases, verdicts = index(tmp_path, source)
    assert [case.label_uri is not None for case in cases] == [True, False, False, True]
    assert [row["code"] for row in verdicts].count("label_grid_differs") == 2


def test_labels_of_series_come_by_uid(tmp_path, dicom):
    dicom.write(tmp_path / "in/a")
    dicom.write(tmp_path / "in/b", dicom.VOXELS + 1, SeriesInstanceUID="1.9")
    nifti(tmp_path / "labels/one.nii.gz", shape=(6, 5, 7), affine=dicom.AFFINE)
    table = tmp_path / "labels" / "labels.csv"
    table.write_text("series_uid,label\n1.9,one.nii.gz\n")
    labels = {"csv": str(table), "unpaired": "keep"}
    cases, _ = index(tmp_path, {"root": str(tmp_path / "in"), "labels": labels})
    assert [case.label_uri is not None for case in cases] == [False, True]
    source = Source(tmp_path / "out")
    np.testing.assert_array_equal(source.image(cases[1]).voxels[0], dicom.VOXELS + 1)
    np.testing.assert_allclose(source.label(cases[1]).affine, dicom.AFFINE, atol=1e-4)
    assert source.label(cases[0]) is None


def test_copies_of_an_image_stay_on_one_side(tmp_path):
    for n in range(6):
        nifti(tmp_path / "in" / f"{n}.nii.gz", seed=n % 5)  # 5 is a copy of 0
    cases, _ = index(tmp_path, {"root": str(tmp_path / "in")}, split={"test": 1})
    assert [case.split for case in cases] == ["test", *["train"] * 4, "test"]
    assert cases[0].subject_id != cases[5].subject_id


def test_subjects_and_values_come_from_names_and_tables(tmp_path):
    for name in ("p1_a", "p1_b", "p2_a"):
        nifti(tmp_path / "in" / f"{name}.nii.gz", seed=len(name) + ord(name[1]) + ord(name[3]))
    table = tmp_path / "table.csv"
    table.write_text("who,what,size\np1,a,3.5\np1,b,4\np2,a,5\n")
    source = {
        "root": str(tmp_path / "in"),
        "modality": "MR",
        "site": "here",
        "group": "target",
        "subject": {"regex": r"(p\d)_"},
        "attributes": {"csv": str(table), "image": "{who}_{what}", "columns": ["size"]},
    }
    cases, _ = index(tmp_path, source)
    assert [case.attributes for case in cases] == [{"size": "3.5"}, {"size": "4"}, {"size": "5"}]
    assert cases[0].subject_id == cases[1].subject_id != cases[2].subject_id
    assert {(case.modality, case.site, case.group) for case in cases} == {("MR", "here", "target")}
    table.write_text("image,subject\np1_a.nii.gz,x\np1_b.nii.gz,y\np2_a.nii.gz,x\n")
    del source["attributes"]
    cases, _ = index(tmp_path, source | {"subject": {"csv": str(table)}})
    assert cases[0].subject_id == cases[2].subject_id != cases[1].subject_id


def test_frames_are_cases_and_nan_is_counted(tmp_path):
    voxels = np.zeros((3, 4, 5, 2), np.float32)
    voxels[0, 0, 0], voxels[1, 1, 1, 1] = np.nan, np.inf
    nibabel.save(nibabel.Nifti1Image(voxels, np.eye(4)), tmp_path / "v.nii.gz")
    cases, _ = index(tmp_path, {"root": str(tmp_path / "v.nii.gz")})
    assert [(case.frame, case.attributes) for case in cases] == [
        (0, {"nonfinite": "1"}),
        (1, {"nonfinite": "2"}),
    ]
    assert cases[0].subject_id == cases[1].subject_id
    assert cases[0].series_id == cases[1].series_id is not None
    image = Source(tmp_path / "out").image(cases[1])
    np.testing.assert_array_equal(image.voxels[0], voxels[..., 1])


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"sources": []}, "sources: "),
        ({"split": {"test": 3}}, "split.test and split.val ask for 3 and 0 subjects, there are 1"),
        ({"root": "nowhere"}, "sources.0.root: there is no such file or folder"),
        ({"root": "mirror:x"}, "mirror:x needs the environment variable MEDSSL_MIRROR"),
        ({"subject": {"regex": "x"}}, "'x' needs a group in parentheses"),
        ({"subject": {"regex": "(q)"}}, "the subject pattern '(q)' finds nothing in the name"),
        ({"subject": {}}, "subject: expected exactly one of regex, csv"),
        ({"labels": {"folder": "nowhere"}}, "sources.0.labels.folder: there is no such"),
        ({"labels": {"csv": "nowhere.csv"}}, "sources.0.labels.csv: expected a CSV table"),
        ({"rooot": "x"}, "rooot: unknown key"),
    ],
)
def test_a_mistake_is_one_line_and_status_2(tmp_path, monkeypatch, capsys, change, line):
    monkeypatch.delenv("MEDSSL_MIRROR", raising=False)
    nifti(tmp_path / "in" / "v.nii.gz")
    whole = {key: change.pop(key) for key in ("sources", "split") if key in change}
    source = {"root": str(tmp_path / "in")} | change
    index(tmp_path, *([source] if "sources" not in whole else []), status=2, **whole)
    error = capsys.readouterr().err
    assert line in error
    assert "Traceback" not in error


@pytest.mark.mirror
@pytest.mark.slow
def test_the_hippocampus_set_is_paired_and_split_as_its_protocol_says(mirror, tmp_path, capsys):
    output = f"output={tmp_path / 'out'}"
    command = ["index", "configs/index/hippocampus.yaml", "--set", output]
    assert main(command) == 0
    manifest = read_manifest(tmp_path / "out" / "manifest.parquet")
    images, labels = (
        {path.name for path in (mirror / "msd_hippocampus" / kind).glob("*.nii.gz")}
        for kind in ("images", "labels")
    )
    paired = sorted(images & labels)
    files = pq.read_table(tmp_path / "out/private/files.parquet").to_pylist()
    named = {f"file:{row['file_id']}": Path(row["path"]).name for row in files}
    assert [named[case.image_uri] for case in manifest] == paired
    assert [named[case.label_uri] for case in manifest] == paired
    expected = [paired[i] for i in np.linspace(0, len(paired) - 1, 30).round().astype(int)]
    assert [named[case.image_uri] for case in manifest.split("test")] == expected
    capsys.readouterr()
    sources = yaml.safe_load(Path("configs/index/hippocampus.yaml").read_text())["sources"]
    del sources[0]["labels"]["unpaired"]
    index(tmp_path, *sources, status=2)
    (line,) = capsys.readouterr().err.splitlines()
    assert "2 labels without image" in line
    assert "1 images without label" in line


@pytest.mark.mirror
@pytest.mark.long
def test_the_ct_archive_keeps_patients_together(mirror, tmp_path):
    output = f"output={tmp_path / 'out'}"
    assert main(["index", "configs/index/ct_archive.yaml", "--set", output]) == 0
    manifest = read_manifest(tmp_path / "out" / "manifest.parquet")
    assert len(manifest) == 742 + 2
    assert len(set(manifest.table["subject_id"].to_pylist())) == 416 + 2
    sizes = [case.attributes.get("diameter_mm") for case in manifest]
    assert sum(size is not None for size in sizes) == 742
