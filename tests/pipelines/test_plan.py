import json
from pathlib import Path

import numpy as np
import pytest
import yaml

import pipelines.plan
from medssl.config.load import load
from medssl.config.schema import schema
from medssl.config.stages.plan import Planned
from medssl.data.manifest import Case, Manifest, write_manifest
from medssl.data.phantom.bulk import write_bulk
from medssl.data.volume import Volume
from pipelines.__main__ import main

TEMPLATES = {
    "pretrain": "configs/pretrain/simclr.yaml",
    "finetune": "configs/finetune/segmentation.yaml",
}


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
    assert first.keys() == {
        "plan.yaml", "pretrain.yaml", "finetune.yaml", "fingerprint.json", "fingerprint.png",
    }  # fmt: skip
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


def test_the_configs_of_training_are_the_templates_with_the_plan_over_them(plan, tmp_path):
    assert plan("train", "train", "train") == 0
    planned = load(Planned, tmp_path / "plan" / "plan.yaml")
    for stage, template in TEMPLATES.items():
        written = load(schema(stage), tmp_path / "plan" / f"{stage}.yaml")
        expected = load(schema(stage), Path(template))
        assert tuple(written.crops.params["crop_vox"]) == planned.crop_vox
        assert tuple(written.encoder.params["channels"]) == planned.channels
        assert written.encoder.params["spatial_dims"] == 3
        assert written.views == expected.views
        assert written.optim.optimizer == expected.optim.optimizer
    # A batch of 3 crops: two cases of two views, for there is nothing to compare one with.
    assert load(schema("pretrain"), tmp_path / "plan" / "pretrain.yaml").optim.batch_size == 2
    assert load(schema("finetune"), tmp_path / "plan" / "finetune.yaml").optim.batch_size == 3


def test_a_template_that_is_not_there_is_named(plan, capsys):
    assert plan("train", "train", keys=["templates.pretrain=configs/pretrain/none.yaml"]) == 2
    assert "there is no config configs/pretrain/none.yaml" in capsys.readouterr().err


@pytest.mark.slow
def test_what_is_planned_is_cached_and_trained_on_as_it_stands(tmp_path):
    write_bulk(tmp_path / "in", 64, slices=16)
    folders = {name: tmp_path / name for name in ("index", "plan", "cache", "export")}

    def medssl(*words, **keys):
        flags = [word for key, value in keys.items() for word in ("--set", f"{key}={value}")]
        assert main([*words, *flags]) == 0

    sources = yaml.safe_dump([{"root": str(tmp_path / "in")}], default_flow_style=True).strip()
    medssl("index", sources=sources, output=folders["index"], **{"split.test": 1})
    medssl(
        "plan", "configs/plan/default.yaml", index=folders["index"], output=folders["plan"],
        memory_gib=0.02, base_channels=4,
    )  # fmt: skip
    medssl(
        "cache", index=folders["index"], output=folders["cache"],
        plan=folders["plan"] / "plan.yaml",
    )  # fmt: skip
    medssl(
        "pretrain", str(folders["plan"] / "pretrain.yaml"), output=folders["export"],
        manifest=folders["cache"] / "manifest.parquet",
        **{"optim.num_steps": 1, "fabric.precision": "32-true", "device": "cpu", "num_workers": 0},
    )  # fmt: skip
    planned = load(Planned, folders["plan"] / "plan.yaml")
    card = json.loads((folders["export"] / "card.json").read_text())
    assert list(planned.channels) == card["encoder"]["channels"]
