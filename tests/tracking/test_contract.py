"""Every tracker takes the same calls; MLflow's writes them to a SQLite store."""

import subprocess
import sys
from pathlib import Path

import pytest

from medssl import lookup
from medssl.errors import ConfigError
from medssl.tracking import DatasetRecord, Run, Tracker
from medssl.tracking.mlflow import Mlflow

RECORD = DatasetRecord(name="cohort", digest="a" * 32, context="train", profile={"cases": 7})


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return tmp_path_factory.mktemp("mlflow")


@pytest.fixture(autouse=True)
def inside(store, monkeypatch):
    monkeypatch.chdir(store)


@pytest.mark.slow
@pytest.mark.parametrize("name", lookup.names("medssl.tracking"))
def test_a_run_takes_numbers_data_and_files(name, store):
    tracker = lookup.build("medssl.tracking", name)
    assert isinstance(tracker, Tracker)
    (store / "export").mkdir(exist_ok=True)
    (store / "export" / "card.json").write_text("{}")
    with tracker.run("cell", config="b: 2") as cell:
        assert isinstance(cell, Run)
        cell.metrics(3, {"train/loss": 0.5})
        cell.dataset(RECORD)
        cell.artifact(store / "export", folder="result")


@pytest.mark.slow
def test_mlflow_keeps_parent_child_numbers_data_files_and_config(store):
    (store / "note.txt").write_text("seen")
    tracker = Mlflow()
    with tracker.run("study", config="a: 1") as study:
        with Mlflow(parent=study.run_id).run("cell", config="b: {c: 2}") as cell:
            cell.metrics(3, {"train/loss": 0.5})
            cell.dataset(RECORD)
            cell.artifact(store / "note.txt", folder="notes")
        assert tracker.client.get_run(study.run_id).info.status == "RUNNING"
    found = tracker.client.get_run(cell.run_id)
    assert found.info.status == "FINISHED"
    assert found.data.tags["mlflow.parentRunId"] == study.run_id
    assert found.data.params == {"b.c": "2"}
    assert "mlflow.parentRunId" not in tracker.client.get_run(study.run_id).data.tags
    (point,) = tracker.client.get_metric_history(cell.run_id, "train/loss")
    assert (point.step, point.value) == (3, 0.5)
    ((dataset, tags),) = [(i.dataset, i.tags) for i in found.inputs.dataset_inputs]
    assert (dataset.name, dataset.digest, dataset.profile) == ("cohort", "a" * 32, '{"cases": 7}')
    assert [tag.value for tag in tags] == ["train"]
    path = tracker.client.download_artifacts(cell.run_id, "config.yaml")
    assert Path(path).read_text() == "b: {c: 2}"
    assert (store / "mlartifacts" / cell.run_id / "artifacts" / "notes" / "note.txt").is_file()


def fail(tracker, name, seen, config=""):
    with tracker.run(name, config=config) as run:
        seen.append(run.run_id)
        msg = "as planned"
        raise RuntimeError(msg)


@pytest.mark.slow
def test_a_run_that_raises_ends_as_failed():
    tracker, seen = Mlflow(), []
    with pytest.raises(RuntimeError, match="as planned"):
        fail(tracker, "broken", seen)
    assert tracker.client.get_run(seen[0]).info.status == "FAILED"


@pytest.mark.slow
def test_a_child_that_did_not_finish_is_gone_on_with_and_one_that_did_is_not():
    with Mlflow().run("study", config="") as study:
        tracker, seen = Mlflow(parent=study.run_id, title="cell 3"), []
        with pytest.raises(RuntimeError, match="as planned"):
            fail(tracker, "anything", seen, "lr: 1\nseed: 2")
        with tracker.run("anything", config="lr: 3\nseed: 2") as again:
            assert again.run_id == seen[0]
        with tracker.run("anything", config="") as third:
            assert third.run_id != seen[0]
    found = tracker.client.get_run(seen[0])
    assert (found.info.status, found.info.run_name) == ("FINISHED", "cell 3")
    assert found.data.tags["config.drifted"] == "lr"


@pytest.mark.slow
def test_a_run_handed_in_is_gone_on_with_unless_the_store_does_not_know_it():
    tracker = Mlflow()
    with tracker.run("one", config="") as one:
        pass
    with tracker.run("two", config="", resume=one.run_id) as two:
        assert two.run_id == one.run_id
    with tracker.run("three", config="", resume="0" * 32) as three:
        assert three.run_id != "0" * 32


@pytest.mark.parametrize("uri", ["./mlruns", "file:///tmp/mlruns"])
def test_the_file_store_is_refused_with_the_way_out(uri):
    with pytest.raises(ConfigError, match=r"sqlite:///mlflow\.db.*migrate-filestore"):
        Mlflow(uri=uri)


CUT_SHORT = """
import os, signal, sys, threading
from medssl.tracking.mlflow import Mlflow
threading.Timer(float(sys.argv[2]), lambda: os.kill(os.getpid(), signal.SIGKILL)).start()
Mlflow(uri=sys.argv[1])
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.long
def test_a_store_whose_making_was_cut_short_is_made_anew(tmp_path):
    for pause_s in ("1.6", "2.0", "2.4"):  # importing MLflow takes about one
        uri = f"sqlite:///{tmp_path / pause_s / 'mlflow.db'}"
        subprocess.run([sys.executable, "-c", CUT_SHORT, uri, pause_s], check=False)
        with Mlflow(uri=uri).run("after", config="") as run:
            run.metrics(0, {"a": 1.0})
        assert Mlflow(uri=uri).client.get_run(run.run_id).data.metrics == {"a": 1.0}
