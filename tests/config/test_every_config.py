"""Every file under configs/ loads, and says the same after a round trip."""

from pathlib import Path

import pytest

from medssl.config.load import dump, load
from medssl.config.schema import schema, stages

CONFIGS = sorted(p for p in Path("configs").rglob("*.yaml") if not p.name.startswith("_"))


def test_every_stage_has_a_config_or_runs_without_one():
    named = {path.parent.name for path in CONFIGS}
    assert named <= set(stages())
    for stage in set(stages()) - named:
        load(schema(stage), None)  # raises where a key has no default


@pytest.mark.parametrize("path", CONFIGS, ids=str)
def test_it_loads_and_survives_a_round_trip(path, tmp_path):
    config_class = schema(path.parent.name)
    config = load(config_class, path)
    again = tmp_path / "again.yaml"
    again.write_text(dump(config))
    assert load(config_class, again) == config


@pytest.mark.parametrize("path", CONFIGS, ids=str)
def test_it_begins_by_saying_what_the_run_is(path):
    assert path.read_text().startswith("# ")


@pytest.mark.parametrize("path", sorted(Path("configs/study").glob("*.yaml")), ids=str)
def test_every_cell_of_a_study_is_right(path, monkeypatch):
    from pipelines._cells import lay_out

    monkeypatch.setenv("MEDSSL_MIRROR", "/nowhere")
    assert lay_out(load(schema("study"), path))
