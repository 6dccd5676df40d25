"""The whole road in miniature: the demo's own study with fewer subjects and a handful of steps."""

import base64
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from medssl.data.manifest import read_manifest
from pipelines import evaluate
from pipelines.__main__ import main

SMALL = {
    "steps.phantom.set.num_subjects": 9,
    "steps.phantom.set.spacing_mm": [5.0, 5.5],
    "steps.phantom.set.exact_duplicates": 1,
    "steps.phantom.set.near_duplicates": 1,
    "steps.index.set.split.test": 3,
    "steps.pretrain_global.set.optim.num_steps": 4,
    "steps.pretrain_global.set.crops.crop_vox": [16, 16, 8],
    "steps.pretrain_local.set.optim.num_steps": 3,
    "steps.pretrain_local.set.crops.crop_vox": [16, 16, 16],
    "steps.finetune.set.optim.num_steps": 6,
    "steps.finetune.set.crops.crop_vox": [16, 16, 16],
    "all.save_every": 1,
    "all.device": "cpu",
}


TRACKER = "{{name: mlflow, uri: 'sqlite:///{root}/mlflow.db'}}"


def words(root):
    keys = SMALL | {"output": root / "out", "tracker": TRACKER.format(root=root)}
    flags = [word for key, value in keys.items() for word in ("--set", f"{key}={value}")]
    return ["study", "configs/study/demo.yaml", *flags]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The folder of a study that nothing disturbed."""
    root = tmp_path_factory.mktemp("road")
    assert main(words(root)) == 0
    return root


def dice(root):
    tables = sorted((root / "out" / "evaluate").rglob("cases.parquet"))
    return {path.parent.name: pq.read_table(path).to_pylist() for path in tables}


@pytest.mark.long
def test_both_arms_are_scored_on_the_same_held_out_subjects(finished):
    scores = dice(finished)
    assert set(scores) == {"arm-pretrained", "arm-scratch"}
    index = read_manifest(finished / "out" / "index" / "manifest.parquet")
    held_out = {case.case_id for case in index.split("test") if case.label_uri}
    for rows in scores.values():
        assert {row["case_id"] for row in rows} == held_out
    for part in ("pretrain_global", "pretrain_local"):
        seen = pq.read_table(finished / "out" / part / "subjects.parquet")["subject_id"]
        assert not set(seen.to_pylist()) & {case.subject_id for case in index.split("test")}


@pytest.mark.long
def test_no_planted_name_is_in_any_byte_outside_private(finished):
    planted = (finished / "out/phantom/private/planted.txt").read_text().splitlines()
    assert len(planted) > 9
    needles = {
        form
        for name in planted
        for form in (
            name.encode(),
            name.encode("utf-16-le"),
            base64.b64encode(name.encode()).rstrip(b"="),
        )
    }
    files = [path for path in finished.rglob("*") if path.is_file()]
    public = [path for path in files if "private" not in path.relative_to(finished).parts]
    assert {"manifest.parquet", "mlflow.db", "verdicts.parquet"} <= {path.name for path in public}
    for path in public:
        content = path.read_bytes()
        assert not [needle for needle in needles if needle in content], path
        assert not [name for name in planted if name in str(path.relative_to(finished))]


@pytest.mark.long
def test_a_study_that_is_done_does_nothing_again(finished, capsys):
    before = {path: path.stat().st_mtime_ns for path in (finished / "out").rglob("*.parquet")}
    assert main(words(finished)) == 0
    assert capsys.readouterr().out.count("unchanged, skipped") == 14
    assert before == {p: p.stat().st_mtime_ns for p in (finished / "out").rglob("*.parquet")}


@pytest.mark.long
def test_test_labels_are_first_read_by_evaluate(tmp_path, monkeypatch, finished):
    """Test labels lie elsewhere from the moment the split is known until `evaluate` begins."""
    from pipelines import plan

    labels = tmp_path / "out/phantom/private/labels"
    away = tmp_path / "away"
    away.mkdir()
    plan_run, evaluate_run = plan.run, evaluate.run

    def take_away(cfg):
        files = {row["file_id"]: row["path"] for row in private_files(cfg.index)}
        manifest = read_manifest(cfg.index / "manifest.parquet")
        for case in manifest.split("test"):
            if case.label_uri:
                shutil.move(files[case.label_uri.removeprefix("file:")], away)
        assert any(away.iterdir())
        plan_run(cfg)

    def bring_back(cfg):
        for path in away.iterdir():
            shutil.move(path, labels)
        evaluate_run(cfg)

    monkeypatch.setattr(plan, "run", take_away)
    monkeypatch.setattr(evaluate, "run", bring_back)
    assert main(words(tmp_path)) == 0
    assert dice(tmp_path) == dice(finished)


def private_files(index_folder):
    return pq.read_table(index_folder / "private" / "files.parquet").to_pylist()


@pytest.mark.long
def test_a_study_killed_again_and_again_ends_as_if_nobody_had(tmp_path, finished):
    kills, status = 0, None
    while status != 0:
        with subprocess.Popen(
            [sys.executable, "-m", "pipelines", *words(tmp_path)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            cwd=Path.cwd(),
        ) as running:
            # Ever later, so that every stage is hit and the study ends.
            try:
                status = running.wait(timeout=7.0 + 2.3 * kills)
            except subprocess.TimeoutExpired:
                running.send_signal(signal.SIGKILL)
                kills += 1
            else:
                assert status == 0, running.stderr.read()
        assert kills < 40
    assert kills > 2
    assert dice(tmp_path) == dice(finished)
