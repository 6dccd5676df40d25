import subprocess
import sys

import pytest

from medssl import lookup
from medssl.config.load import load
from medssl.config.stages.select import Select
from pipelines.__main__ import main

K_CENTER = "configs/select/k_center.yaml"
SHOW = f"""
import sys
from pipelines.__main__ import main
status = main(["select", "{K_CENTER}", "--show"])
loaded = {{"torch", "lightning", "mlflow"}} & set(sys.modules)
sys.exit(status or ", ".join(loaded) or 0)
"""


def test_showing_a_selection_loads_no_torch(tmp_path):
    done = subprocess.run([sys.executable, "-c", SHOW], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    (tmp_path / "shown.yaml").write_text(done.stdout)
    assert load(Select, tmp_path / "shown.yaml").selector.params["fraction"] == 0.1


def test_a_stage_whose_keys_have_defaults_needs_no_config(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["phantom", "--set", "num_subjects=1", "--set", "spacing_mm=[6, 6]"]) == 0
    assert (tmp_path / "outputs/phantom/truth.parquet").is_file()


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["pretrain", "configs/pretrain/vicreg.yaml", "--set", "optim.clip_norm=0"], "clip_norm"),
        (["select"], "manifest: required"),
        (["select", K_CENTER, "--set", "manifest=nowhere"], "nowhere"),
        (["select", K_CENTER, "--set", "manifest"], "--set takes KEY=VALUE, got 'manifest'"),
        (["select", "nowhere.yaml"], "there is no config nowhere.yaml"),
    ],
)
def test_a_mistake_ends_with_status_2_and_no_traceback(words, line, capsys):
    assert main(words) == 2
    error = capsys.readouterr().err
    assert error.startswith("medssl: ")
    assert line in error


@pytest.mark.long
def test_a_run_that_is_terminated_ends_as_failed(tmp_path):
    """SIGTERM reaches a stage in the middle of its work; MLflow hears of it."""
    store = f"sqlite:///{tmp_path / 'mlflow.db'}"
    script = f"""
import os, signal, sys
import pipelines.phantom as phantom
from pipelines.__main__ import main
phantom.write_item = lambda *a, **k: os.kill(os.getpid(), signal.SIGTERM)
sys.exit(main(["phantom", "--set", "tracker={{name: mlflow, uri: '{store}'}}",
               "--set", "output={tmp_path / "out"}"]))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=False)
    assert done.returncode == 128 + 15
    client = lookup.build("medssl.tracking", "mlflow", uri=store).client
    (run,) = client.search_runs(["1"])
    assert run.info.status == "FAILED"
