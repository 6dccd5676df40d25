import json

import numpy as np
import pytest
import yaml

import pipelines.plan
from medssl.config.load import load
from medssl.config.stages.plan import Planned
from medssl.data.manifest import Case, Manifest, write_manifest
from medssl.data.volume import Volume
from pipelines.__main__ import main


def case(number, split):
    return Case(
        case_id=f"c{number}",
        digest=f"d{number}",
        subject_id=f"s{number}",
        modality="MR",
        image_uri="",
        shape=[40, 50, 36],
        spacing_mm=[1.0, 1.0, 1.0 + 0.1 * number],
        affine=np.diag([1.0, 1, 1 + 0.1 * number, 1]).ravel().tolist(),
        split=split,
    )


class Archive:
    """Stands for `Source`."""

    def __init__(self, folder):
        self.folder = folder

    def image(self, of):
        assert of.split == "train"
        noise = np.random.default_rng(0).normal(100, 40, (1, *of.shape))
        return Volume(noise.astype(np.float32), np.array(of.affine).reshape(4, 4))


@pytest.fixture
def plan(tmp_path, monkeypatch):
    monkeypatch.setattr(pipelines.plan, "source_of", Archive)

    def run(*splits, keys=()):
        cases = [case(number, split) for number, split in enumerate(splits)]
        write_manifest(Manifest.of(cases), tmp_path / "index" / "manifest.parquet")
        keys = [f"index={tmp_path / 'index'}", f"output={tmp_path / 'plan'}", *keys]
        flags = [word for key in keys for word in ("--set", key)]
        return main(["plan", "configs/plan/default.yaml", *flags])

    return run


def test_the_plan_loads_and_says_why_above_each_key(plan, tmp_path, capsys):
    assert plan("train", "train", "train", "test") == 0
    path = tmp_path / "plan" / "plan.yaml"
    planned = load(Planned, path)
    assert planned.preprocessing.spacing_mm == (1, 1, 1.1)
    assert planned.crop_vox == (40, 48, 32)
    assert planned.channels == (16, 32, 64, 128)
    assert planned.batch_size == 3

    lines = path.read_text().splitlines()
    for key in yaml.safe_load(path.read_text()):
        above = lines[next(n for n, line in enumerate(lines) if line.startswith(f"{key}:")) - 1]
        assert above.startswith("# ")
    assert "# preprocessing: spacing_mm: the median of 3 cases." in path.read_text()
    assert "crop_vox: [40, 48, 32]" in lines
    assert path.read_text() in capsys.readouterr().out


def test_an_edited_plan_still_loads(plan, tmp_path):
    plan("train", "train")
    path = tmp_path / "plan" / "plan.yaml"
    path.write_text(path.read_text().replace("batch_size: 2", "batch_size: 7"))
    assert load(Planned, path).batch_size == 7


def test_test_and_validation_cases_shape_nothing(plan, tmp_path):
    plan("train", "train", "test", "val")
    fingerprint = json.loads((tmp_path / "plan" / "fingerprint.json").read_text())
    assert fingerprint["cases"] == 2
    assert fingerprint["spacing_mm"]["max"] == [1, 1, 1.1]
    assert [look["case_id"] for look in fingerprint["looks"]] == ["c0", "c1"]


def test_the_folder_holds_plan_fingerprint_and_figure_and_is_the_same_again(plan, tmp_path):
    plan("train", "train")
    first = {path.name: path.read_bytes() for path in (tmp_path / "plan").iterdir()}
    assert first.keys() == {"plan.yaml", "fingerprint.json", "fingerprint.png"}
    assert first["fingerprint.png"].startswith(b"\x89PNG")
    plan("train", "train")
    assert {path.name: path.read_bytes() for path in (tmp_path / "plan").iterdir()} == first


def test_without_looks_no_voxel_is_read(plan, monkeypatch):
    def unwanted(self, of):
        raise AssertionError(of.case_id)

    monkeypatch.setattr(Archive, "image", unwanted)
    assert plan("train", "train", keys=["looks=0"]) == 0


def test_an_index_without_train_cases_is_refused_in_one_line(plan, capsys):
    assert plan("test", "val") == 2
    assert "its manifest lists no train case; see split" in capsys.readouterr().err
