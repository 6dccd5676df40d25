"""The studies on real patients, in short: every step runs, on all cases and few training steps."""

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import yaml

from medssl.data.manifest import read_manifest
from pipelines.__main__ import main


def study(name, root, **short):
    keys = {"output": root / "out", "tracker": "{name: silent}", "all.device": "cpu"} | short
    flags = [word for key, value in keys.items() for word in ("--set", f"{key}={value}")]
    return main(["study", f"configs/study/{name}.yaml", *flags])


@pytest.mark.long
@pytest.mark.mirror
def test_the_hippocampus_study_compares_its_arms_on_30_real_volumes(tmp_path, mirror, capsys):
    skipped = '[{labels: "2"}, {labels: "8"}, {labels: "all"}, {draw: "1"}, {draw: "2"}]'
    short = {
        "steps.pretrain_global.set.optim.num_steps": 3,
        "steps.pretrain_local.set.optim.num_steps": 3,
        "steps.finetune.set.optim.num_steps": 40,
        "steps.finetune.exclude": skipped,
        "steps.evaluate.exclude": skipped,
    }
    assert study("hippocampus", tmp_path, **short) == 0
    lines = json.loads((tmp_path / "out/compare/table.json").read_text())["lines"]
    assert {(line["arm"], line["num_subjects"], line["num_draws"]) for line in lines} == {
        (arm, 30, 1) for arm in ("pretrained", "scratch", "scratch_longer")
    }
    index = read_manifest(tmp_path / "out/index/manifest.parquet")
    assert [len(index.split(name)) for name in ("train", "test")] == [165, 30]
    seen = pq.read_table(tmp_path / "out/pretrain_local/subjects.parquet")
    assert len(seen) == 165
    assert "image_without_label" in capsys.readouterr().out


FEW = {
    "steps.index.set.sources": json.dumps(
        [
            {
                "root": "mirror:msd_hippocampus/images",
                "include": "*_0*",
                "modality": "MR",
                "labels": {"folder": "mirror:msd_hippocampus/labels", "unpaired": "refuse"},
            }
        ]
    ),
    "steps.index.set.split.test": 6,
}


@pytest.mark.long
@pytest.mark.mirror
def test_the_study_of_labels_compares_all_arms_with_few_and_all_labels(tmp_path, mirror):
    skipped = '[{labels: "1"}, {labels: "8"}, {draw: "1"}, {draw: "2"}]'
    pretrained = ("random", "partition", "pairs", "local")
    short = {f"steps.pretrain_{name}.set.optim.num_steps": 2 for name in pretrained} | {
        **FEW,
        "steps.finetune.set.optim.num_steps": 4,
        "steps.finetune.set.validate_every": 4,
        "steps.finetune.exclude": skipped,
        "steps.evaluate.exclude": skipped,
    }
    assert study("label_efficiency", tmp_path, **short) == 0
    lines = json.loads((tmp_path / "out/compare/table.json").read_text())["lines"]
    arms = ("random", "global_random", "partition", "pairs", "pairs_local")
    assert [(line["arm"], line["setting"]) for line in lines if line["class_name"] == "mean"] == [
        (arm, f"labels-{labels}") for labels in ("2", "all") for arm in arms
    ]
    assert {line["num_subjects"] for line in lines} == {6}
    assert all((line["p"] is None) == (line["arm"] == "random") for line in lines)
    index = read_manifest(tmp_path / "out/index/manifest.parquet")
    assert [len(index.split(name)) for name in ("train", "val", "test")] == [35, 5, 6]


@pytest.mark.long
@pytest.mark.mirror
def test_the_study_of_baselines_compares_what_few_labels_reach_without_contrast(tmp_path, mirror):
    learning = ("from_pretext", "random", "mixup", "self_training", "joint_1", "joint_2")
    scoring = ("pretext", "random", "mixup", "self_training", "joint")
    skipped = '[{labels: "2"}, {labels: "8"}, {draw: "1"}, {draw: "2"}]'
    steps = [*learning, "label_1", "label_2", *(f"evaluate_{name}" for name in scoring)]
    short = {f"steps.{name}.exclude": skipped for name in steps} | {
        f"steps.{name}.set.optim.num_steps": 4 for name in learning
    }
    short |= {f"steps.{name}.set.validate_every": 4 for name in learning}
    short |= {f"steps.{name}.set.window_overlap": 0.0 for name in ("label_1", "label_2")}
    short |= FEW | {"steps.pretext.set.optim.num_steps": 2}
    assert study("few_labels_baselines", tmp_path, **short) == 0
    lines = json.loads((tmp_path / "out/compare/table.json").read_text())["lines"]
    arms = {line["arm"]: line["num_subjects"] for line in lines}
    assert arms == dict.fromkeys(
        (
            "random",
            "mixup",
            "rotation",
            "inpainting",
            "context_restoration",
            "self_training",
            "joint",
        ),
        6,
    )
    card = json.loads((tmp_path / "out/joint_2/labels-1.draw-0/card.json").read_text())
    seen = card["provenance"]
    assert (len(seen["case_ids"]), len(seen["pseudo_case_ids"])) == (1, 34)


@pytest.mark.long
@pytest.mark.mirror
def test_the_archive_of_ct_and_mr_is_indexed_reduced_and_pretrained_on(tmp_path, mirror):
    short = {"steps.pretrain.set.optim.num_steps": 3}
    assert study("ct_archive", tmp_path, **short) == 0
    index = read_manifest(tmp_path / "out/index/manifest.parquet")
    assert {case.modality for case in index} == {"CT", "MR"}
    assert max(case.shape[2] for case in index) == 192  # the head MR, whole
    reduced = read_manifest(tmp_path / "out/select/manifest.parquet")
    kept = sum(len(case.slices) for case in reduced.split("train") if case.slices)
    whole = sum(case.shape[2] for case in reduced.split("train"))
    assert 0 < kept < whole
    assert (tmp_path / "out/pretrain/weights.safetensors").is_file()


@pytest.mark.long
@pytest.mark.mirror
def test_the_study_of_graph_matching_asks_its_encoders_twice(tmp_path, mirror):
    arms = ("random", "lvm_med", "no_local")
    steps = yaml.safe_load(Path("configs/study/lvm_med.yaml").read_text())["steps"]
    skipped = [{"arm": arm} for arm in steps["pretrain"]["matrix"]["arm"] if arm not in arms]
    skipped += [{"seed": "1"}, {"seed": "2"}]
    index = yaml.safe_load(Path(steps["index"]["config"]).read_text())
    hippocampi, nodules, *_ = index["sources"]
    hippocampi |= {"include": "*_0[0-4]*"}
    nodules |= {"include": "LIDC-IDRI-0[0-2]*"}
    nodules["labels"] |= {"unpaired": "refuse"}  # those of the others
    short = {
        f"steps.{step}.exclude": json.dumps(skipped)
        for step in ("pretrain", "embed", "finetune", "evaluate")
    } | {
        "steps.index.set.sources": json.dumps([hippocampi, nodules]),
        "steps.index.set.split.test": 0.7,  # of few nodules many, to have both kinds in each fold
        "steps.pretrain.set.optim.num_steps": 3,
        "steps.pretrain.set.log_every": 1,
        "steps.probe.set.num_folds": 2,
        "steps.probe.set.num_repeats": 1,
        "steps.probe.set.num_resamples": 100,
        "steps.probe.set.scheduler": "threads",
        "steps.finetune.set.labels.count": 4,
        "steps.finetune.set.optim.num_steps": 4,
    }
    assert study("lvm_med", tmp_path, **short) == 0
    index = read_manifest(tmp_path / "out/index/manifest.parquet")
    seen = pq.read_table(tmp_path / "out/pretrain/arm-lvm_med.seed-0/subjects.parquet")
    assert len(seen) == len(index.split("train"))
    history = pq.read_table(tmp_path / "out/pretrain/arm-lvm_med.seed-0/history.parquet")
    assert "train/hamming" in history["name"].to_pylist()
    asked = json.loads((tmp_path / "out/probe/table.json").read_text())["lines"]
    assert {line["arm"] for line in asked} == {*arms, "diameter_mm", "shape"}
    assert len({line["target"] for line in asked}) == 5
    lines = json.loads((tmp_path / "out/compare/table.json").read_text())["lines"]
    test = [case for case in index.split("test") if case.modality == "MR"]
    assert {(line["arm"], line["num_subjects"], line["num_draws"]) for line in lines} == {
        (arm, len(test), 1) for arm in arms
    }
    assert all((line["p"] is None) == (line["arm"] == "lvm_med") for line in lines)


@pytest.mark.long
@pytest.mark.mirror
def test_the_study_of_separation_asks_both_codes_of_three_kinds_of_images(tmp_path, mirror):
    arms = ("sep_clr", "supervised", "untrained")
    steps = yaml.safe_load(Path("configs/study/separation.yaml").read_text())["steps"]
    parts = ("digits", "nodules", "heads")
    every = steps["pretrain_digits"]["matrix"]["arm"]
    skipped = [{"arm": arm} for arm in every if arm not in arms] + [{"seed": "1"}, {"seed": "2"}]
    short = {
        f"steps.{stage}_{part}.exclude": json.dumps(skipped)
        for stage in ("pretrain", "embed")
        for part in parts
    } | {f"steps.pretrain_{part}.set.optim.num_steps": 2 for part in parts}
    short |= {f"steps.separate_{part}.set.num_resamples": 100 for part in parts}
    short |= {
        "steps.digits.set.per_case": 1,
        "steps.phantom.set.num_subjects": 40,
        "steps.heads.set.split.test": 14,
    }
    assert study("separation", tmp_path, **short) == 0
    asked = {
        part: json.loads((tmp_path / f"out/separate_{part}/table.json").read_text())["lines"]
        for part in parts
    }
    told = {
        part: {(line["arm"], line["attribute"], line["belongs"]) for line in asked[part]}
        for part in parts
    }
    assert told["digits"] == {
        (arm, *attribute)
        for arm in arms
        for attribute in (("group", "salient"), ("digit", "salient"), ("diameter", "common"))
    }
    assert {attribute for _, attribute, _ in told["heads"]} == {
        *("group", "lesion_size", "lesion_side", "head_size", "contrast")
    }
    assert {attribute for _, attribute, _ in told["nodules"]} == {
        *("group", "spiculation", "lobulation", "texture", "diameter")
    }
    for part, made in (("digits", "digits"), ("nodules", "matched"), ("heads", "lesions")):
        manifest = read_manifest(tmp_path / f"out/{made}/manifest.parquet")
        seen = pq.read_table(tmp_path / f"out/pretrain_{part}/arm-sep_clr.seed-0/subjects.parquet")
        trained = set(manifest.split("train").table["subject_id"].to_pylist())
        assert set(seen["subject_id"].to_pylist()) == trained
        scored = pq.read_table(tmp_path / f"out/separate_{part}/predictions.parquet")
        of_test = manifest.split("test").table["case_id"].to_pylist()
        assert set(scored["case_id"].to_pylist()) == set(of_test)
