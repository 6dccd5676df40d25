"""Data sets in the layouts of nnU-Net, the Decathlon and BIDS, beyond an image and a label each."""

import json
from pathlib import Path

import nibabel
import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml

from medssl.data.manifest import read_manifest
from medssl.data.source import Source
from pipelines.__main__ import main


def index(tmp_path, source, status=0):
    """Run the stage and return the cases, and the verdicts' codes."""
    config = tmp_path / "index.yaml"
    config.write_text(yaml.safe_dump({"sources": [source], "output": str(tmp_path / "out")}))
    assert main(["index", str(config)]) == status
    verdicts = pq.read_table(tmp_path / "out" / "verdicts.parquet").to_pylist()
    cases = list(read_manifest(tmp_path / "out" / "manifest.parquet"))
    return cases, [row["code"] for row in verdicts]


def shipped(name, root, *, unpaired="error", **change):
    """The source of a shipped config, with its data set's folder put in the place of its own."""
    (source,) = yaml.safe_load(Path(f"configs/index/{name}.yaml").read_text())["sources"]
    source = yaml.safe_load(yaml.safe_dump(source).replace(source["root"], str(root)))
    source["labels"]["unpaired"] = unpaired
    return source | change


def nifti(path, value, shape=(4, 5, 6)):
    """Write a volume whose first voxel says which one it is; frames count on."""
    path.parent.mkdir(parents=True, exist_ok=True)
    voxels = np.random.default_rng(value).integers(0, 9, shape).astype(np.int16)
    voxels[0, 0, 0] = value if len(shape) == 3 else np.arange(value, value + shape[3])
    nibabel.save(nibabel.Nifti1Image(voxels, np.eye(4)), path)


def first_voxels(cases, out):
    """The first voxel of each case's image and label."""
    read = Source(out)
    found = []
    for case in cases:
        label = read.label(case)
        image = read.image(case).voxels[0, 0, 0, 0]
        found.append((int(image), None if label is None else int(label.voxels[0, 0, 0, 0])))
    return found


@pytest.fixture
def nnunet(tmp_path):
    """Two cases of two channels with labels, and one without."""
    root = tmp_path / "Dataset001_X"
    for n, name in enumerate(("a", "b")):
        nifti(root / f"labelsTr/{name}.nii.gz", 100 + n)
        for channel in (0, 1):
            nifti(root / f"imagesTr/{name}_{channel:04d}.nii.gz", 10 * channel + n)
    nifti(root / "imagesTs/c_0000.nii.gz", 5)
    (root / "dataset.json").write_text(json.dumps({"channel_names": {"0": "T1", "1": "T2"}}))
    return root


@pytest.mark.parametrize("channel", [0, 1])
def test_a_channel_of_nnunets_layout_can_be_chosen(tmp_path, nnunet, channel):
    include = f"imagesTr/*_{channel:04d}.nii.gz"
    cases, codes = index(tmp_path, shipped("nnunet", nnunet, include=include))
    expected = [(10 * channel, 100), (10 * channel + 1, 101)]
    assert first_voxels(cases, tmp_path / "out") == expected
    assert sorted(codes) == ["image", "image", "label", "label"]


def test_all_channels_are_cases_of_one_subject_under_one_label(tmp_path, nnunet):
    cases, codes = index(tmp_path, shipped("nnunet", nnunet, include="imagesTr/*.nii.gz"))
    expected = [(0, 100), (10, 100), (1, 101), (11, 101)]
    assert first_voxels(cases, tmp_path / "out") == expected
    assert [case.attributes["channel"] for case in cases] == ["0000", "0001"] * 2
    a, b = {cases[0].subject_id, cases[1].subject_id}, {cases[2].subject_id, cases[3].subject_id}
    assert len(a) == len(b) == 1
    assert a != b
    assert sorted(codes) == ["image"] * 4 + ["label"] * 2


def test_images_for_test_take_part_without_label_where_they_may(tmp_path, nnunet):
    include = "images*/*_0000.nii.gz"
    cases, _ = index(tmp_path, shipped("nnunet", nnunet, include=include, unpaired="keep"))
    assert first_voxels(cases, tmp_path / "out") == [(0, 100), (1, 101), (5, None)]
    assert len({case.subject_id for case in cases}) == 3
    _, codes = index(tmp_path, shipped("nnunet", nnunet, include=include, unpaired="refuse"))
    assert codes.count("image_without_label") == 1


@pytest.fixture
def decathlon(tmp_path):
    """A task whose fourth axis is modality, as it comes out of its archive."""
    root = tmp_path / "Task01_X"
    for n, name in enumerate(("a", "b")):
        nifti(root / f"imagesTr/{name}.nii.gz", 10 * n, (4, 5, 6, 3))
        nifti(root / f"labelsTr/{name}.nii.gz", 100 + n)
        # What the archives of the Decathlon hold beside each file: a Mac's resource fork.
        (root / f"imagesTr/._{name}.nii.gz").write_bytes(b"\0\5\26\7" * 9)
    nifti(root / "imagesTs/c.nii.gz", 50, (4, 5, 6, 3))
    listed = [{"image": f"./imagesTr/{n}.nii.gz", "label": f"./labelsTr/{n}.nii.gz"} for n in "ab"]
    (root / "dataset.json").write_text(
        json.dumps({"training": listed, "test": ["./imagesTs/c.nii.gz"], "tensorImageSize": "4D"})
    )
    return root


def test_each_modality_of_a_decathlons_image_is_a_case_under_its_label(tmp_path, decathlon):
    cases, codes = index(tmp_path, shipped("msd", decathlon))
    assert [case.frame for case in cases] == [0, 1, 2] * 2
    expected = [(0, 100), (1, 100), (2, 100), (10, 101), (11, 101), (12, 101)]
    assert first_voxels(cases, tmp_path / "out") == expected
    assert len({case.subject_id for case in cases}) == 2
    assert sorted(codes) == ["image", "image", "label", "label", "unreadable", "unreadable"]


def test_a_decathlons_images_for_test_take_part_without_label(tmp_path, decathlon):
    source = shipped("msd", decathlon, include="images*", unpaired="keep")
    cases, _ = index(tmp_path, source)
    assert first_voxels(cases[6:], tmp_path / "out") == [(50, None), (51, None), (52, None)]


@pytest.fixture
def bids(tmp_path):
    """A subject with sessions and runs, one with two contrasts, and one with a bold series."""
    root = tmp_path / "bids"
    stems = [
        "sub-1/ses-a/anat/sub-1_ses-a_run-1_T1w", "sub-1/ses-a/anat/sub-1_ses-a_run-2_T1w",
        "sub-1/ses-b/anat/sub-1_ses-b_T1w", "sub-2/anat/sub-2_T1w", "sub-2/anat/sub-2_T2w",
    ]  # fmt: skip
    for n, stem in enumerate(stems):
        nifti(root / f"{stem}.nii.gz", n)
        (root / f"{stem}.json").write_text("{}")
        label = f"{stem.rpartition('_')[0]}_dseg"
        nifti(root / f"derivatives/labels/{label}.nii.gz", 100 + min(n, 3))
    nifti(root / "sub-3/func/sub-3_task-rest_bold.nii.gz", 50, (4, 5, 6, 3))
    (root / "dataset_description.json").write_text("{}")
    return root


def test_runs_and_sessions_of_bids_are_cases_of_their_subject(tmp_path, bids):
    cases, codes = index(tmp_path, shipped("bids", bids))
    assert first_voxels(cases, tmp_path / "out") == [(0, 100), (1, 101), (2, 102), (3, 103)]
    assert [case.attributes for case in cases] == [
        {"run": "1", "contrast": "T1w"}, {"run": "2", "contrast": "T1w"},
        {"contrast": "T1w"}, {"contrast": "T1w"},
    ]  # fmt: skip
    subjects = [case.subject_id for case in cases]
    assert len({*subjects[:3]}) == 1
    assert subjects[3] != subjects[0]
    assert set(codes) == {"image", "label"}


def test_contrasts_of_bids_share_the_label_of_their_session(tmp_path, bids):
    cases, _ = index(tmp_path, shipped("bids", bids, include="sub-*/anat/*.nii.gz"))
    assert first_voxels(cases[3:], tmp_path / "out") == [(3, 103), (4, 103)]
    assert [case.attributes["contrast"] for case in cases[3:]] == ["T1w", "T2w"]


def test_a_bold_series_of_bids_is_a_case_a_frame(tmp_path, bids):
    source = shipped("bids", bids, include="sub-*/func/*_bold.nii.gz", unpaired="keep")
    cases, _ = index(tmp_path, source)
    assert [(case.frame, case.attributes["contrast"]) for case in cases] == [
        (0, "bold"), (1, "bold"), (2, "bold")
    ]  # fmt: skip
    assert first_voxels(cases, tmp_path / "out") == [(50, None), (51, None), (52, None)]
    assert len({case.subject_id for case in cases}) == 1
