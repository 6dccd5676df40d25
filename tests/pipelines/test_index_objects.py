"""The stage `index` with DICOM objects as labels, and what the stages after it make of them."""

import runpy
from pathlib import Path
from types import SimpleNamespace

import highdicom
import nibabel
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
import yaml
from skimage.measure import find_contours
from torch import nn

from medssl.data.cache import open_cached
from medssl.data.manifest import read_manifest
from medssl.data.preprocessing.space import to_ras
from medssl.data.source import Source
from medssl.data.verdicts import RefusedError
from medssl.data.volume import Volume
from medssl.errors import DataError
from medssl.models.export import write_export
from pipelines import evaluate
from pipelines.__main__ import main

NAME = "Zephyrowska"  # of a patient, in a label that nothing but the object may say
SHAPE = (6, 5, 7)


@pytest.fixture(scope="module")
def dicom():
    return SimpleNamespace(**runpy.run_path(str(Path(__file__).parents[1] / "dicom_series.py")))


@pytest.fixture
def archive(tmp_path, dicom, objects):
    """Writes a patient's series and hands over its slices."""

    def write(number, voxels=dicom.VOXELS):
        paths = dicom.write(
            tmp_path / f"in/{number}",
            voxels + np.int16(number),
            **objects.FULL
            | {
                "PatientID": f"P-{number}",
                "StudyInstanceUID": f"1.3.{number}",
                "SeriesInstanceUID": f"1.3.{number}.4",
                "FrameOfReferenceUID": f"1.3.{number}.9",
            },
        )
        return objects.slices_of(paths)

    return write


def index(tmp_path, classes=None, *, status=0, unpaired="keep", **more):
    """Run the stage on the archive and return the cases and the verdicts by the files' names."""
    source = {"root": str(tmp_path / "in")}
    if classes:
        source["labels"] = {"objects": {"classes": classes}, "unpaired": unpaired}
    config = tmp_path / "index.yaml"
    tree = {"sources": [source, *more.pop("sources", ())], "output": str(tmp_path / "out")}
    config.write_text(yaml.safe_dump(tree | more))
    assert main(["index", str(config)]) == status
    if status:
        return None
    ids = pq.read_table(tmp_path / "out/private/files.parquet").to_pylist()
    names = {row["file_id"]: Path(row["path"]).name for row in ids}
    rows = pq.read_table(tmp_path / "out/verdicts.parquet").to_pylist()
    cases = list(read_manifest(tmp_path / "out/manifest.parquet"))
    return cases, {names[row["file_id"]]: row for row in rows}


def stage(name, *settings):
    return main([name, *(word for setting in settings for word in ("--set", setting))])


def box(dicom, images, low, high, k):
    """Corners in RAS+ mm of a square in a slice, which take in the voxels low to high - 1."""
    corners = np.array([(low, low), (high, low), (high, high), (low, high)]) - 0.5
    voxels = np.column_stack([corners, np.full(4, k), np.ones(4)])
    return (voxels @ dicom.AFFINE.T)[:, :3]


def test_objects_become_labels_of_the_cached_volumes(tmp_path, dicom, objects, archive):
    numbers = np.random.default_rng(0).integers(0, 3, SHAPE).astype(np.uint8)
    made = objects.segmentation(archive(0), numbers, ["Liver", f"Mass of {NAME}"])
    made.save_as(tmp_path / "in/seg.dcm")
    second = archive(1)
    contours = [
        objects.contour(box(dicom, second, 1, 4, k), images=[second[k].SOPInstanceUID])
        for k in (2, 3)
    ]
    made = objects.structures({"LIVER": contours, NAME: contours}, series="1.3.1.4")
    dicom.save(made, tmp_path / "in/rt.dcm")
    archive(2)
    cases, verdicts = index(tmp_path, {"liver": 2})
    for name, case in zip(("seg.dcm", "rt.dcm"), cases, strict=False):
        row = verdicts[name]
        assert (row["status"], row["code"], row["case_id"]) == ("accepted", "label", case.case_id)
        assert case.label_uri == f"objects:{case.case_id}"
    assert cases[2].label_uri is None

    out = tmp_path / "cache"
    plain = "preprocessing={crop_to_foreground: false}"
    assert stage("cache", f"index={tmp_path / 'out'}", f"output={out}", plain) == 0
    drawn = np.zeros(SHAPE)
    drawn[1:4, 1:4, 2:4] = 2
    cached = list(read_manifest(out / "manifest.parquet"))
    for case, expected in zip(cached, (np.where(numbers == 1, 2, 0), drawn), strict=False):
        label, image = open_cached(out / case.label_uri), open_cached(out / case.image_uri)
        upright = to_ras(Volume(expected[None], dicom.AFFINE))
        np.testing.assert_array_equal(label.raw(), upright.voxels)
        np.testing.assert_allclose(image.affine, upright.affine, atol=1e-4)

    for path in [*out.rglob("*"), *(tmp_path / "out").rglob("*")]:
        if path.is_file() and "private" not in path.parts:
            assert NAME.encode() not in path.read_bytes()


class Brightness(nn.Module):
    """Calls a normalized intensity above a half class 1."""

    def forward(self, image):
        return torch.cat([0.5 - image, image - 0.5], dim=1) * 100


@pytest.mark.slow
def test_evaluate_draws_the_labels_that_nothing_read_before(
    tmp_path, dicom, objects, archive, monkeypatch
):
    shape = (16, 17, 9)
    ball = np.linalg.norm((np.indices(shape).T - (8, 8, 4)) * (1, 1, 2), axis=-1).T < 6.2
    for number in range(2):
        slices = archive(number, ball.astype(np.int16) * 100)
        if number == 0:
            objects.segmentation(slices, ball.astype(np.uint8), ["ball"]).save_as(
                tmp_path / "in/seg.dcm"
            )
            continue
        contours = []
        for k in range(shape[2]):
            for ring in find_contours(ball[:, :, k].astype(float), 0.5):
                voxels = np.column_stack([ring, np.full(len(ring), k), np.ones(len(ring))])
                points = (voxels @ dicom.AFFINE.T)[:, :3]
                contours.append(objects.contour(points, images=[slices[k].SOPInstanceUID]))
        dicom.save(objects.structures({"Ball": contours}), tmp_path / "in/rt.dcm")
    index(tmp_path, {"ball": 1}, unpaired="error", split={"test": 2})
    out, cache, model = tmp_path / "out", tmp_path / "cache", tmp_path / "model"
    whole = "preprocessing={percentiles: [0, 100], crop_to_foreground: false, window_hu: [0, 100]}"
    assert stage("cache", f"index={out}", f"output={cache}", whole) == 0
    assert not (cache / "labels").exists()
    seen = pa.table({"subject_id": pa.array([], pa.string()), "digest": pa.array([], pa.string())})
    write_export(model, {"head": nn.Linear(1, 1)}, {}, subjects=seen)
    card = {"classes": ["ball"], "crop_vox": [16, 16, 16]}
    monkeypatch.setattr(evaluate, "restore", lambda model: (Brightness(), card))
    given = {
        "model": model,
        "manifest": cache / "manifest.parquet",
        "index": out,
        "output": tmp_path / "evaluation",
        "device": "cpu",
    }
    assert stage("evaluate", *(f"{key}={value}" for key, value in given.items())) == 0
    rows = pq.read_table(tmp_path / "evaluation/cases.parquet").to_pylist()
    assert [(row["dice"], row["hd95_mm"]) for row in rows] == [(1.0, 0.0)] * 2


def test_without_being_asked_for_objects_are_refused_by_kind(tmp_path, dicom, objects, archive):
    slices = archive(0)
    ones = np.ones(SHAPE, np.uint8)
    objects.segmentation(slices, ones, ["liver"]).save_as(tmp_path / "in/seg.dcm")
    dicom.save(objects.structures({"liver": []}), tmp_path / "in/rt.dcm")
    (case,), verdicts = index(tmp_path)
    assert case.label_uri is None
    assert verdicts["seg.dcm"]["code"] == "segmentation"
    assert verdicts["rt.dcm"]["code"] == "structures"
    assert not (tmp_path / "out/objects.parquet").exists()


def test_the_objects_of_test_cases_stay_closed(tmp_path, objects, archive):
    for number in range(3):
        made = objects.segmentation(archive(number), np.ones(SHAPE, np.uint8), ["liver"])
        made.PixelData = made.PixelData[:8]  # whoever opens it will notice
        made.save_as(tmp_path / f"in/seg_{number}.dcm")
    cases, verdicts = index(tmp_path, {"liver": 1}, split={"test": 1})
    assert [case.split for case in cases] == ["test", "train", "train"]
    assert [case.label_uri is not None for case in cases] == [True, False, False]
    assert verdicts["seg_0.dcm"]["code"] == "label"
    assert verdicts["seg_1.dcm"]["code"] == "truncated"
    with pytest.raises(RefusedError, match="truncated"):
        Source(tmp_path / "out").label(cases[0])


def test_several_objects_of_a_case_are_one_label_or_none(tmp_path, dicom, objects, archive):
    masks = [np.zeros(SHAPE, np.uint8) for _ in range(3)]
    masks[0][:2], masks[1][4:], masks[2][1:3] = 1, 1, 1
    slices = archive(0)
    for number in (0, 1):
        made = objects.segmentation(slices, masks[number], [f"part {number}"])
        made.save_as(tmp_path / f"in/seg_{number}.dcm")
    classes = {"part 0": 1, "part 1": 2, "part 2": 3}
    (case,), verdicts = index(tmp_path, classes)
    label = Source(tmp_path / "out").label(case)
    np.testing.assert_array_equal(label.voxels[0], masks[0] + 2 * masks[1])

    made = objects.segmentation(slices, masks[2], ["part 2"])
    made.save_as(tmp_path / "in/seg_2.dcm")
    (case,), verdicts = index(tmp_path, classes)
    assert case.label_uri is None
    for number in range(3):
        row = verdicts[f"seg_{number}.dcm"]
        assert (row["status"], row["code"]) == ("refused", "label_conflict")
        assert row["sentence"].startswith("35 voxels are of several classes")

    shifted = dicom.AFFINE + np.array([[0, 0, 0, 0.2]] * 3 + [[0] * 4])
    other = [dicom.slice_of(dicom.VOXELS, shifted, k, **objects.FULL) for k in range(SHAPE[2])]
    for mine, theirs in zip(slices, other, strict=True):
        theirs.SOPInstanceUID, theirs.SeriesInstanceUID = mine.SOPInstanceUID, "1.3.0.4"
        theirs.file_meta.MediaStorageSOPInstanceUID = mine.SOPInstanceUID
    made = objects.segmentation(other, masks[2], ["part 2"])
    made.save_as(tmp_path / "in/seg_2.dcm")
    (case,), verdicts = index(tmp_path, classes)
    assert case.label_uri is None
    codes = [verdicts[f"seg_{number}.dcm"]["code"] for number in range(3)]
    assert codes == ["broken_series", "broken_series", "label_grid_differs"]


def test_an_image_with_a_label_file_takes_no_object(tmp_path, dicom, objects, archive):
    slices = archive(0)
    ones = np.ones(SHAPE, np.uint8)
    (tmp_path / "labels").mkdir()
    nibabel.save(nibabel.Nifti1Image(ones, dicom.AFFINE), tmp_path / "labels/one.nii.gz")
    (tmp_path / "labels/labels.csv").write_text("series_uid,label\n1.3.0.4,one.nii.gz\n")
    (tmp_path / "segs").mkdir()
    objects.segmentation(slices, ones, ["liver"]).save_as(tmp_path / "segs/seg.dcm")
    segs = {"root": str(tmp_path / "segs"), "labels": {"objects": {"classes": {"liver": 1}}}}
    # Objects may lie in another source than the images.
    (case,), verdicts = index(tmp_path, sources=[segs])
    assert verdicts["seg.dcm"]["case_id"] == case.case_id
    tree = yaml.safe_load((tmp_path / "index.yaml").read_text())
    tree["sources"][0]["labels"] = {"csv": str(tmp_path / "labels/labels.csv")}
    (tmp_path / "index.yaml").write_text(yaml.safe_dump(tree))
    assert main(["index", str(tmp_path / "index.yaml")]) == 0
    (case,) = read_manifest(tmp_path / "out/manifest.parquet")
    assert case.label_uri.startswith("file:")
    codes = pq.read_table(tmp_path / "out/verdicts.parquet")["code"].to_pylist()
    assert codes.count("label_conflict") == 1


@pytest.mark.parametrize("unpaired", ["keep", "refuse", "error"])
def test_an_image_without_object_is_treated_as_told(tmp_path, objects, archive, unpaired, capsys):
    made = objects.segmentation(archive(0), np.ones(SHAPE, np.uint8), ["liver"])
    made.save_as(tmp_path / "in/seg.dcm")
    archive(1)
    for path in (tmp_path / "in/1").iterdir():
        path.rename(path.with_name(f"1_{path.name}"))
    if unpaired == "error":
        index(tmp_path, {"liver": 1}, unpaired=unpaired, status=2)
        assert "sources.0: 1 images without label" in capsys.readouterr().err
        return
    cases, verdicts = index(tmp_path, {"liver": 1}, unpaired=unpaired)
    assert len(cases) == (2 if unpaired == "keep" else 1)
    code = "image" if unpaired == "keep" else "image_without_label"
    assert verdicts["1_000.dcm"]["code"] == code
    assert verdicts["seg.dcm"]["code"] == "label"


def test_an_absent_reference_and_foreign_names_are_verdicts(tmp_path, objects, archive):
    gone = archive(0)
    for path in (tmp_path / "in/0").iterdir():
        path.unlink()
    ones = np.ones(SHAPE, np.uint8)
    objects.segmentation(gone, ones, ["liver"]).save_as(tmp_path / "in/gone.dcm")
    made = objects.segmentation(archive(1), ones, [NAME])
    made.save_as(tmp_path / "in/foreign.dcm")
    (case,), verdicts = index(tmp_path, {"liver": 1})
    assert case.label_uri is None
    assert verdicts["gone.dcm"]["code"] == "reference_missing"
    assert verdicts["foreign.dcm"]["code"] == "segmentation"
    assert verdicts["foreign.dcm"]["sentence"].endswith("of 1 segments, none of which is a class")


def test_objects_that_the_index_does_not_know_are_named(tmp_path, objects, archive):
    made = objects.segmentation(archive(0), np.ones(SHAPE, np.uint8), ["liver"])
    made.save_as(tmp_path / "in/seg.dcm")
    (case,), _ = index(tmp_path, {"liver": 1})
    table = tmp_path / "out/objects.parquet"
    pq.write_table(pq.read_table(table).slice(0, 0), table)
    with pytest.raises(DataError, match=f"knows no objects of case {case.case_id}"):
        Source(tmp_path / "out").label(case)


@pytest.mark.parametrize(
    ("labels", "line"),
    [
        ({"objects": {"classes": {}}}, "classes: "),
        ({"objects": {"classes": {"liver": 0}}}, "classes.liver: "),
        (
            {"objects": {"classes": {"liver": 1, " Liver": 2}}},
            "expected names that differ by more than case",
        ),
        (
            {"objects": {"classes": {"liver": 1}}, "folder": "x"},
            "labels: expected exactly one of folder, csv, match, datalist, objects",
        ),
    ],
)
def test_a_mistake_in_the_config_is_named(tmp_path, capsys, labels, line):
    config = tmp_path / "index.yaml"
    source = {"root": str(tmp_path), "labels": labels}
    config.write_text(yaml.safe_dump({"sources": [source], "output": str(tmp_path / "out")}))
    assert main(["index", str(config)]) == 2
    assert line in capsys.readouterr().err


@pytest.mark.mirror
def test_real_structure_sets_label_their_image_or_lack_one(tmp_path, mirror):
    (tmp_path / "in").symlink_to(mirror / "dicom_rtstruct/tests/mock_data")
    classes = {f"ROI-{number}": number for number in range(1, 5)}
    (case,), verdicts = index(tmp_path, classes)
    codes = {name: row["code"] for name, row in verdicts.items()}
    assert codes == {
        "ct_1.dcm": "image",
        "ct_2.dcm": "image",
        "rt.dcm": "label",
        "invalid_reference_rt.dcm": "reference_missing",
        "non_existent_reference_rt.dcm": "reference_missing",
    }
    sentence = "1 of the 3 images it was drawn on are not in the archive"
    assert verdicts["invalid_reference_rt.dcm"]["sentence"] == sentence
    label = Source(tmp_path / "out").label(case)
    assert np.unique(label.voxels).tolist() == [0, 1]


@pytest.mark.mirror
def test_real_segmentations_label_their_image_or_lack_one(tmp_path, mirror):
    folder = mirror / "dicom_seg_highdicom/data/test_files"
    (tmp_path / "in").symlink_to(folder)
    (case,), verdicts = index(tmp_path, {"first segment": 1})
    codes = {name: row["code"] for name, row in verdicts.items() if name.startswith("seg_image")}
    assert len(codes) == 12
    for name, code in codes.items():
        if "single_frame" in name:
            assert code == "label"
        else:
            assert code == ("segmentation" if "_sm_" in name else "reference_missing")
    path = folder / "seg_image_ct_binary_single_frame.dcm"
    frame = highdicom.seg.segread(path).pixel_array.squeeze()
    label = Source(tmp_path / "out").label(case).voxels[0, :, :, 0]
    assert frame.any()
    np.testing.assert_array_equal(label.T, frame)
