"""Studies of two made-up stages: `make` writes its number, `add` sums the numbers it reads."""

import sys
from pathlib import Path
from types import ModuleType

import pytest
import yaml

from medssl.config.component import Component
from medssl.config.load import resolve
from medssl.config.schema import SILENT, Tracker, config
from medssl.config.stages.study import Study
from medssl.errors import ConfigError, DataError
from pipelines import _cells, study


@config
class Make:
    output: Path
    number: int = 1
    seed: int = 0
    source: Path | None = None
    tracker: Tracker = SILENT


@config
class Add:
    output: Path
    terms: tuple[Path, ...]
    seed: int = 0
    cell: dict[str, str]


def make(cfg):
    if cfg.number < 0:
        msg = f"number must not be negative, got {cfg.number}"
        raise DataError(msg)
    RAN.append(cfg)
    cfg.output.mkdir(parents=True, exist_ok=True)
    (cfg.output / "number").write_text(str(cfg.number))


def add(cfg):
    RAN.append(cfg)
    cfg.output.mkdir(parents=True, exist_ok=True)
    total = sum(int((term / "number").read_text()) for term in cfg.terms)
    (cfg.output / "number").write_text(str(total))


RAN = []
SCHEMAS = {"make": Make, "add": Add}


@pytest.fixture(autouse=True)
def made_up_stages(monkeypatch):
    RAN.clear()
    monkeypatch.setattr(_cells, "stages", lambda: list(SCHEMAS))
    monkeypatch.setattr(_cells, "schema", SCHEMAS.__getitem__)
    for name, run in (("make", make), ("add", add)):
        module = ModuleType(f"pipelines.{name}")
        module.run = run
        monkeypatch.setitem(sys.modules, f"pipelines.{name}", module)


STEPS = {
    "base": {"stage": "make", "set": {"number": 2}},
    "arm": {
        "stage": "make",
        "matrix": {"size": {"small": {"number": 3}, "large": {"number": 5}}, "draw": {"0": None}},
        "needs": ["base"],
    },
    "both": {
        "stage": "add",
        "set": {"terms": ["base.output", "arm.output"]},
        "matrix": {"size": {"small": None, "large": None}},
    },
    "whole": {"stage": "add", "set": {"terms": "both.outputs"}},
}


def settle(root, steps=STEPS, **more):
    tree = {"name": "sums", "output": str(root / "out"), "steps": steps}
    return resolve(Study, None, [tree, {"tracker": {"name": "silent"}}, more])


def numbers(root):
    return {
        str(path.parent.relative_to(root / "out")): int(path.read_text())
        for path in (root / "out").rglob("number")
    }


def ran():
    return ["/".join(cfg.output.parts[-2:]).removeprefix("out/") for cfg in RAN]


def test_outputs_of_agreeing_cells_become_inputs(tmp_path):
    study.run(settle(tmp_path))
    assert numbers(tmp_path) == {
        "base": 2,
        "arm/size-small.draw-0": 3,
        "arm/size-large.draw-0": 5,
        "both/size-small": 5,
        "both/size-large": 7,
        "whole": 12,
    }
    assert RAN[-2].cell == {"size": "large"}


def test_one_cell_of_each_step_runs_first_and_tells_how_long_the_others_take(tmp_path, capsys):
    study.run(settle(tmp_path))
    assert ran() == [
        "base",
        "arm/size-small.draw-0",
        "both/size-small",
        "arm/size-large.draw-0",
        "both/size-large",
        "whole",
    ]
    said = capsys.readouterr().out.splitlines()
    place = said.index("step   cells  s a cell  left")
    assert said[place - 1].startswith("[3/6] both/size-small: ")
    assert [line.split()[:2] for line in said[place + 1 : place + 5]] == [
        ["base", "1"],
        ["arm", "2"],
        ["both", "2"],
        ["whole", "1"],
    ]
    assert said[place + 5] == "about 0 s left, beside whole"


def test_what_is_unchanged_is_skipped_and_what_hangs_on_a_change_runs_again(tmp_path):
    study.run(settle(tmp_path))
    RAN.clear()
    study.run(settle(tmp_path))
    assert ran() == []
    changed = {**STEPS, "arm": {**STEPS["arm"]}}
    changed["arm"]["matrix"] = {
        "size": {"small": {"number": 3}, "large": {"number": 50}},
        "draw": {"0": None},
    }
    study.run(settle(tmp_path, changed))
    assert ran() == ["arm/size-large.draw-0", "both/size-large", "whole"]
    assert numbers(tmp_path)["whole"] == 57
    assert (tmp_path / "out/replaced/arm/size-large.draw-0/number").read_text() == "5"


def test_a_foreign_file_that_changed_runs_what_reads_it_again(tmp_path):
    source = tmp_path / "archive"
    source.mkdir()
    (source / "a").write_text("one")
    steps = {"base": {"stage": "make", "set": {"source": str(source)}}}
    study.run(settle(tmp_path, steps))
    (source / "b").write_text("two")
    study.run(settle(tmp_path, steps))
    study.run(settle(tmp_path, steps))
    assert len(RAN) == 2


def test_a_study_goes_on_at_the_step_that_failed(tmp_path):
    steps = {**STEPS, "arm": {**STEPS["arm"], "set": {"seed": 1}}}
    bad = {**steps, "both": {"stage": "make", "set": {"number": -1}}}
    with pytest.raises(DataError, match=r"step both: number must not be negative, got -1"):
        study.run(settle(tmp_path, bad))
    assert ran() == ["base", "arm/size-small.draw-0"]
    study.run(settle(tmp_path, steps))
    assert ran()[2:] == ["both/size-small", "arm/size-large.draw-0", "both/size-large", "whole"]


def test_keys_under_all_reach_the_steps_that_know_them(tmp_path):
    study.run(settle(tmp_path, all={"number": 7}))
    assert set(numbers(tmp_path).values()) == {7, 14, 28}


def test_excluded_cells_and_steps_after_the_last_do_not_run(tmp_path):
    steps = {**STEPS, "arm": {**STEPS["arm"], "exclude": [{"size": "small"}]}}
    study.run(settle(tmp_path, steps | {"both": STEPS["base"]}, until="arm"))
    assert ran() == ["base", "arm/size-large.draw-0"]


@pytest.mark.parametrize(
    ("steps", "more", "message"),
    [
        (
            {"a": {"stage": "mak"}},
            {},
            r"steps\.a\.stage: expected one of \['make', 'add'\], got 'mak'",
        ),
        ({"a": {"stage": "make", "set": {"numbr": 1}}}, {}, r"step a: .*: numbr: unknown key"),
        (
            {"a": {"stage": "add", "set": {"terms": "b.outputs"}}},
            {},
            r"no step 'b' before this one",
        ),
        (
            {k: STEPS[k] for k in ("base", "arm")}
            | {"sum": {"stage": "add", "set": {"terms": ["arm.output"]}}},
            {},
            r"arm\.output names 2 cells of arm: write arm\.outputs",
        ),
        (STEPS, {"all": {"colour": "red"}}, r"all\.colour: no step of the study knows this key"),
        (STEPS, {"until": "nowhere"}, r"until: expected one of \['base'.*got 'nowhere'"),
    ],
)
def test_a_mistake_is_found_before_anything_runs(tmp_path, steps, more, message):
    with pytest.raises(ConfigError, match=message):
        study.run(settle(tmp_path, steps, **more))
    assert RAN == []


@pytest.mark.slow
def test_each_cell_is_a_child_run_and_a_failure_is_told_truthfully(tmp_path, monkeypatch):
    from medssl.tracking.mlflow import Mlflow

    def tracked(cfg):
        with study.build(cfg.tracker).run("stage", config="number: 1"):
            make(cfg)

    sys.modules["pipelines.make"].run = tracked
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    steps = {k: STEPS[k] for k in ("base", "arm")}
    bad = steps | {"last": {"stage": "make", "set": {"number": -1}}}
    with pytest.raises(DataError, match="negative"):
        study.run(settle(tmp_path, bad, tracker={"name": "mlflow", "uri": uri}))
    client = Mlflow(uri=uri, experiment="sums").client
    experiment = client.get_experiment_by_name("sums").experiment_id

    def statuses():
        runs = client.search_runs([experiment])
        return {run.info.run_name: run.info.status for run in runs}

    first = {"base", "arm/size-small.draw-0"}
    assert statuses() == dict.fromkeys(first, "FINISHED") | {"last": "FAILED", "sums": "FAILED"}
    good = steps | {"last": {"stage": "make", "set": {"number": 1}}}
    study.run(settle(tmp_path, good, tracker={"name": "mlflow", "uri": uri}))
    assert statuses() == dict.fromkeys(
        first | {"arm/size-large.draw-0", "last", "sums"}, "FINISHED"
    )


def test_the_resolved_study_can_be_loaded_again(tmp_path):
    tree = yaml.safe_load(study.dump(settle(tmp_path)))
    assert resolve(Study, None, [tree]) == settle(tmp_path)
    assert settle(tmp_path).tracker == Component(name="silent", family="medssl.tracking")
