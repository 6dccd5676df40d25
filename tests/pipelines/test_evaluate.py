"""Evaluation, whole: NIfTI files indexed and cached, a network that sees brightness, its scores."""

import json
import re

import nibabel
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from torch import nn

from medssl.data.manifest import read_manifest
from medssl.models.export import HASH, write_export
from pipelines import evaluate
from pipelines.__main__ import main
from pipelines._copies import with_hashes

NUM_CASES = 4
WHOLE = "{percentiles: [0, 100], crop_to_foreground: false}"
# Not along R, A, S, and not of equal steps: what is scored must be the source's grid.
AFFINE = np.array([[0, 0, 2.0, 5], [-1.5, 0, 0, 7], [0, 1.0, 0, 9], [0, 0, 0, 1]])


class Brightness(nn.Module):
    """Calls a normalized intensity above a half class 1."""

    def forward(self, image):
        return torch.cat([0.5 - image, image - 0.5], dim=1) * 100


def write_archive(root):
    """Write images of a bright ball, and labels stored in another order of axes."""
    for number in range(NUM_CASES):
        places = np.stack(np.meshgrid(*map(np.arange, (20, 22, 24)), indexing="ij"), -1)
        ball = np.linalg.norm((places - 11) * [1.5, 1.0, 2.0], axis=-1) < 6 + number
        image = nibabel.Nifti1Image((100 * ball).astype(np.int16), AFFINE)
        label = nibabel.Nifti1Image(ball.astype(np.uint8), AFFINE)
        for folder, file in (("images", image), ("labels", nibabel.as_closest_canonical(label))):
            (root / folder).mkdir(parents=True, exist_ok=True)
            nibabel.save(file, root / folder / f"case{number}.nii.gz")


def stage(name, *config, **keys):
    flags = [word for key, value in keys.items() for word in ("--set", f"{key}={value}")]
    return main([name, *config, *flags])


@pytest.fixture
def cohort(tmp_path, monkeypatch):
    """An index and a cache of balls, all of them held out, and a model that knows nobody."""
    write_archive(tmp_path / "archive")
    labels = {"folder": str(tmp_path / "archive/labels")}
    sources = [{"root": str(tmp_path / "archive/images"), "modality": "MR", "labels": labels}]
    index = {"output": tmp_path / "index", "split.test": NUM_CASES}
    assert stage("index", sources=json.dumps(sources), **index) == 0
    keys = {"index": tmp_path / "index", "output": tmp_path / "cache"}
    assert stage("cache", preprocessing=WHOLE, **keys) == 0
    seen = pa.table({"subject_id": pa.array([], pa.string()), "digest": pa.array([], pa.string())})
    write_export(tmp_path / "model", {"head": nn.Linear(1, 1)}, {}, subjects=seen)
    card = {"classes": ["ball"], "crop_vox": [16, 16, 16]}
    monkeypatch.setattr(evaluate, "restore", lambda model: (Brightness(), card))
    return tmp_path


def score(root, **more):
    keys = {
        "model": root / "model",
        "manifest": root / "cache/manifest.parquet",
        "index": root / "index",
        "output": root / "evaluation",
        "device": "cpu",
        "cell": "{arm: bright}",
    }
    return stage("evaluate", **keys | more)


def test_a_network_that_is_right_has_perfect_scores_in_the_sources_grid(cohort):
    assert score(cohort) == 0
    rows = pq.read_table(cohort / "evaluation/cases.parquet").to_pylist()
    assert len(rows) == NUM_CASES
    assert {(row["dice"], row["hd95_mm"], row["nsd"]) for row in rows} == {(1.0, 0.0, 1.0)}
    summary = json.loads((cohort / "evaluation/summary.json").read_text())
    assert summary["cell"] == {"arm": "bright"}
    assert summary["classes"]["ball"]["dice"] == {"mean": 1, "low": 1, "high": 1, "subjects": 4}
    figures = list((cohort / "evaluation/figures").glob("*.png"))
    assert len(figures) == 3


def test_a_network_of_stacks_is_fed_stacks_and_scored_by_the_middle_slice(cohort, monkeypatch):
    class Middle(Brightness):
        def forward(self, image):
            assert image.shape[1] == 5
            return super().forward(image[:, 2:3])

    card = {"classes": ["ball"], "crop_vox": [16, 16], "thickness": 5}
    monkeypatch.setattr(evaluate, "restore", lambda model: (Middle(), card))
    assert score(cohort) == 0
    rows = pq.read_table(cohort / "evaluation/cases.parquet").to_pylist()
    assert {row["dice"] for row in rows} == {1.0}


def test_a_network_that_sees_too_much_is_told_by_how_much(cohort, monkeypatch):
    class Everything(Brightness):
        def forward(self, image):
            return super().forward(torch.ones_like(image))

    card = {"classes": ["ball"], "crop_vox": [16, 16, 16]}
    monkeypatch.setattr(evaluate, "restore", lambda model: (Everything(), card))
    assert score(cohort) == 0
    rows = pq.read_table(cohort / "evaluation/cases.parquet").to_pylist()
    index = {case.case_id: case for case in read_manifest(cohort / "index/manifest.parquet")}
    for row in rows:
        number = list(index).index(row["case_id"])
        ball = nibabel.load(cohort / f"archive/labels/case{number}.nii.gz").get_fdata().sum()
        assert row["dice"] == pytest.approx(2 * ball / (ball + 20 * 22 * 24), abs=1e-6)


def move_a_label(root):
    path = root / "archive/labels/case1.nii.gz"
    image = nibabel.load(path)
    moved = image.affine + np.array([[0, 0, 0, 0.5]] + [[0] * 4] * 3)
    nibabel.save(nibabel.Nifti1Image(np.asarray(image.dataobj), moved), path)


def lose_a_label(root):
    (root / "archive/labels/case2.nii.gz").unlink()


def know_a_subject(root):
    case = read_manifest(root / "index/manifest.parquet")[0]
    seen = pa.table({"subject_id": [case.subject_id], "digest": ["another"]})
    write_export(root / "model", {"head": nn.Linear(1, 1)}, {}, subjects=seen)


def another_class(root):
    path = root / "archive/labels/case0.nii.gz"
    image = nibabel.load(path)
    nibabel.save(nibabel.Nifti1Image(np.asarray(image.dataobj) * 3, image.affine), path)


@pytest.mark.parametrize(
    ("happens", "line"),
    [
        (move_a_label, "does not lie on the image's grid"),
        (lose_a_label, "expected its label (file:"),
        (know_a_subject, "subject"),
        (another_class, "expected reference classes 0 to 1, got up to 3"),
    ],
)
def test_what_can_not_be_scored_is_one_line_that_names_no_path(cohort, capsys, happens, line):
    happens(cohort)
    capsys.readouterr()
    assert score(cohort) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("medssl: ")
    assert line in error
    assert "archive" not in error.replace("if the archive changed", "")


def hashes_of(root):
    """Describe all volumes by their hashes; return the folder and the hash of each."""
    keys = {"manifest": root / "cache/manifest.parquet", "output": root / "hashes"}
    assert stage("embed", "configs/embed/dhash_volumes.yaml", **keys) == 0
    told = with_hashes(read_manifest(keys["manifest"]), keys["output"])
    return keys["output"], [np.frombuffer(one, np.uint64) for one in told[HASH].to_pylist()]


def know_a_hash(root, one):
    """Have the model know an image by its hash alone: its subject has another name."""
    seen = {"subject_id": ["another"], "digest": ["another"], HASH: [one.tobytes()]}
    write_export(root / "model", {"head": nn.Linear(1, 1)}, {}, subjects=pa.table(seen))


def test_a_copy_of_what_the_model_knows_under_another_name_is_refused(cohort, capsys):
    folder, hashes = hashes_of(cohort)
    # 100 of 1,536 bits are within what a gain and some noise change.
    few = np.zeros(64 * len(hashes[2]), np.uint8)
    few[np.random.default_rng(0).permutation(len(few))[:100]] = 1
    know_a_hash(cohort, hashes[2] ^ np.packbits(few).view(np.uint64))
    capsys.readouterr()
    assert score(cohort, descriptors=folder) == 2
    shown = capsys.readouterr()
    copied = read_manifest(cohort / "cache/manifest.parquet")[2].case_id
    assert re.search(rf"cases to evaluate are near copies of .*{copied} \(100 bits\)", shown.err)
    assert not (cohort / "evaluation").exists()


def test_where_hashes_are_not_known_it_says_once_that_near_copies_were_not_looked_for(
    cohort, capsys
):
    folder, hashes = hashes_of(cohort)
    capsys.readouterr()
    assert score(cohort, num_figures=1) == 0
    said = capsys.readouterr().out
    assert said.count("near copies were not looked for: there are no hashes; give as `desc") == 1
    assert score(cohort, descriptors=folder, num_figures=1) == 0
    said = capsys.readouterr().out
    assert said.count("was trained on were not looked for: it holds no hashes; train it with") == 1
    assert said.count("not looked for") == 1
    know_a_hash(cohort, ~hashes[2])
    assert score(cohort, descriptors=folder, num_figures=1) == 0
    assert "not looked for" not in capsys.readouterr().out


def test_a_split_without_cases_is_refused(cohort, capsys):
    assert score(cohort, split="val") == 2
    assert "has 0 val cases, none of them with a label" in capsys.readouterr().err
