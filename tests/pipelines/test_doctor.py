"""`doctor`: what it calls missing, and what it says of a training config."""

import re
import sqlite3
from contextlib import closing
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from pipelines import _machine
from pipelines.__main__ import main
from pipelines._machine import decoders, disk, memory, packages, processors, shared_memory, store
from pipelines._trial import duration, kept_for_backward


def doctor(root, **keys):
    keys = {"folder": root, "store": f"sqlite:///{root / 'mlflow.db'}"} | keys
    flags = [word for key, value in keys.items() for word in ("--set", f"{key}={value}")]
    return main(["doctor", *flags])


def test_a_machine_that_runs_these_tests_lacks_nothing(tmp_path, capsys):
    assert doctor(tmp_path) == 0
    lines = capsys.readouterr().out.splitlines()
    states = {line.split()[0] for line in lines if not line.startswith(" ")}
    assert "OK" in states <= {"OK", "WARN"}
    for subject in ("packages", "processors", "memory", "disk", "MLflow", "DICOM decoders"):
        assert any(subject in line for line in lines)
    assert not (tmp_path / "mlflow.db").exists()


def test_what_is_missing_ends_with_status_2_and_is_listed(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(_machine, "LEAST_DISK_GIB", 1e9)
    monkeypatch.setattr(_machine, "PACKAGES", ("torch", "no_such_package"))
    assert doctor(tmp_path) == 2
    shown = capsys.readouterr()
    assert re.search(r"medssl: .* lacks .*\n  packages: .*no_such_package\n  disk: ", shown.err)
    assert "FAIL  disk" in shown.out


def test_a_missing_decoder_is_named_with_what_brings_it(monkeypatch):
    def without_jpeg_ls(syntax):
        return SimpleNamespace(
            is_available="JPEG-LS" not in syntax.name, missing_dependencies=("pyjpegls>=1.2",)
        )

    assert [one.state for one in decoders()] == ["OK"]
    monkeypatch.setattr(_machine, "get_decoder", without_jpeg_ls)
    whole, *missing = decoders()
    assert whole.found == "uncompressed and 11 of 13 compressed syntaxes"
    assert [one.state for one in missing] == ["FAIL", "FAIL"]
    assert all("JPEG-LS" in one.found and "pyjpegls" in one.advice for one in missing)


def test_a_store_is_tried_and_left_as_it_is(tmp_path):
    path = tmp_path / "mlflow.db"
    with closing(sqlite3.connect(path)) as holder:
        holder.execute("CREATE TABLE t (x)")
        holder.commit()
        before = path.read_bytes()
        (free,) = store(f"sqlite:///{path}", tmp_path)
        assert (free.state, free.found) == ("OK", f"{path}, writable")
        assert path.read_bytes() == before
        holder.execute("BEGIN EXCLUSIVE")
        (held,) = store(f"sqlite:///{path}", tmp_path)
        assert (held.state, held.found) == ("FAIL", f"{path}: database is locked")


def test_a_store_that_is_no_database_is_missing(tmp_path):
    (tmp_path / "mlflow.db").write_bytes(b"no database" * 100)
    (broken,) = store(f"sqlite:///{tmp_path / 'mlflow.db'}", tmp_path)
    assert broken.state == "FAIL"
    assert "not a database" in broken.found


def test_an_old_file_store_is_pointed_out(tmp_path):
    (tmp_path / "mlruns").mkdir()
    _, old = store(f"sqlite:///{tmp_path / 'mlflow.db'}", tmp_path)
    assert (old.state, "migrate-filestore" in old.advice) == ("WARN", True)


def test_a_server_is_not_asked(tmp_path):
    (server,) = store("http://127.0.0.1:1", tmp_path)
    assert server.found == "http://127.0.0.1:1, not asked"


def test_a_folder_that_is_not_there_yet_is_judged_by_the_one_above(tmp_path):
    found = disk(tmp_path / "not" / "yet")
    assert found.state != "FAIL"
    assert found.found.endswith(str(tmp_path))


def test_a_containers_limit_is_the_memory_there_is(tmp_path, monkeypatch):
    limit = tmp_path / "memory.max"
    monkeypatch.setattr(_machine, "CGROUP_LIMIT", limit)
    limit.write_text(f"{3 * 2**30}\n")
    assert memory().state == "WARN"
    assert memory().found.endswith("may take 3.0")
    limit.write_text("max\n")
    assert "container" not in memory().found


def test_little_shared_memory_and_too_many_threads_are_warned_of(monkeypatch):
    monkeypatch.setattr(_machine, "LEAST_SHARED_GIB", 1e9)
    assert shared_memory().state == "WARN" or not _machine.SHARED.is_dir()
    monkeypatch.setattr(torch, "get_num_threads", lambda: 4096)
    assert (processors().state, "OMP_NUM_THREADS" in processors().advice) == ("WARN", True)


def test_packages_are_named_with_their_versions():
    assert f"torch {torch.__version__.split('+')[0]}" in packages().found


def test_what_backward_keeps_is_counted_once_and_without_weights():
    layer = nn.Linear(8, 8, bias=False)
    image = torch.zeros(32, 8)
    with kept_for_backward(list(layer.parameters())) as kept:
        for _ in range(2):  # each step anew, or the count would double
            hidden = layer(image)  # keeps the image, 1 KiB
            (hidden.square() + hidden.pow(3)).sum().backward()  # both keep one map, another KiB
            kept.end_step()
    assert kept.most == 2 * 32 * 8 * 4


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0 s"), (119, "119 s"), (600, "10.0 min"), (8e4, "22.2 h")]
)
def test_durations_read_as_people_say_them(seconds, text):
    assert duration(seconds) == text


PRETRAIN = """
manifest: nowhere.parquet
output: nowhere
crops: {name: random, crop_vox: [8, 8, 8]}
views: []
encoder: {name: small_conv, width: 2}
method: {name: joint_embedding, objective: {name: vicreg}}
optim: {num_steps: 7200, batch_size: 3}
device: cpu
"""
FINETUNE = """
manifest: nowhere.parquet
output: nowhere
classes: [one, two]
crops: {name: labeled, crop_vox: [16, 16, 16]}
encoder: {name: unet, channels: [2, 4]}
optim: {num_steps: 10, batch_size: 2}
device: cpu
"""
STACKS = FINETUNE.replace("[16, 16, 16]", "[16, 16], thickness: 3").replace(
    "[2, 4]", "[2, 4], spatial_dims: 2, in_channels: 3"
)
FRAMES = PRETRAIN.replace("{name: random,", "{name: frames, num_views: 2,")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("stage", "text"),
    [("pretrain", PRETRAIN), ("pretrain", FRAMES), ("finetune", FINETUNE), ("finetune", STACKS)],
)
def test_a_config_is_tried_without_its_data(tmp_path, capsys, stage, text):
    path = tmp_path / "run.yaml"
    path.write_text(text)
    assert doctor(tmp_path, config=path, stage=stage) == 0
    out = capsys.readouterr().out
    assert re.search(r"parameters +[\d,]+, of which [\d,]+ are trained", out)
    assert re.search(r"memory +0\.\d\d GiB on cpu", out)
    steps = {"pretrain": "7,200 steps of batch 3", "finetune": "10 steps of batch 2"}[stage]
    assert re.search(rf"time +\S+ s a step, \S+ \w+ for {steps}", out)


def test_a_config_that_is_wrong_is_named(tmp_path, capsys):
    assert doctor(tmp_path, config=tmp_path / "nowhere.yaml") == 2
    assert "nowhere.yaml" in capsys.readouterr().err
