"""The bench of the loader, in small."""

import json

import pytest
import yaml

from medssl.config.load import load
from medssl.config.stages.bench import Bench
from medssl.data.manifest import Case, Manifest
from medssl.data.phantom.bulk import write_bulk
from medssl.errors import ConfigError
from pipelines.__main__ import main
from pipelines.benches._feeding import Turns
from pipelines.benches.loader import Loader, multiplied

NAMES = ["training", "alone", "slowdown", "views", "data_wait", "supply"]
KEYS = {"source": "a folder", "run": "a.yaml", "most_wait": 0.1, "least_supply": 10.0}


def config(folder, **keys):
    path = folder / "bench.yaml"
    bench = {"name": "loader", **KEYS, **keys}
    path.write_text(yaml.safe_dump({"bench": bench, "output": str(folder / "out")}))
    return path


@pytest.mark.long
def test_a_loader_is_measured_beside_the_training_that_it_feeds(tmp_path, capsys):
    write_bulk(tmp_path / "archive", 12, slices=12)
    run = {
        "manifest": "none",
        "output": "none",
        "crops": {"name": "random", "crop_vox": [16, 16, 16]},
        "views": [{"name": "noise"}],
        "method": {"name": "joint_embedding", "objective": {"name": "ntxent"}},
        "optim": {"num_steps": 1, "batch_size": 1},
    }
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(run))
    path = config(
        tmp_path,
        source=str(tmp_path / "archive"),
        run=str(tmp_path / "run.yaml"),
        most_wait=1.0,
        least_supply=1e-9,
        num_steps=1,
        num_alone=2,
        repetitions=2,
    )
    assert main(["bench", str(path)]) == 0
    lines = capsys.readouterr().out.splitlines()[-6:]
    assert [line.split(":")[0] for line in lines] == [f"loader.{name}" for name in NAMES]
    details = json.loads((tmp_path / "out/bench.json").read_text())["details"]
    assert details["crops_a_batch"] == 16
    assert len(details["turns"]) == 2
    for turns in details["turns"]:
        assert all(value > 0 for value in turns.values())
        assert turns["waited_s"] + turns["augmented_s"] < turns["fed_s"]
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"bench.json"}


def test_numbers_are_those_of_the_turns():
    bench = Loader(**KEYS, num_steps=4, num_alone=10)
    taken = [
        Turns(kept_s=scale * 8, fed_s=scale * 10, waited_s=0.5, augmented_s=3, alone_s=2)
        for scale in (1, 2, 4)
    ]
    found = {one.name: one for one in bench._result(taken, crops_a_batch=5).measured}
    assert [*found] == NAMES
    assert [one.value for one in found.values()] == [1.0, 25.0, 1.25, 0.15, 0.025, 25.0]
    assert (found["supply"].low, found["supply"].high) == (12.5, 50.0)
    assert not found["supply"].is_short
    assert not found["data_wait"].is_short
    slow = [Turns(kept_s=1, fed_s=1, waited_s=0.2, augmented_s=0, alone_s=1)]
    missed = [one.name for one in bench._result(slow, crops_a_batch=5).measured if one.is_short]
    assert missed == ["data_wait", "supply"]


def test_a_volume_stands_for_as_many_cases_of_as_many_subjects():
    few = Manifest.of(
        Case(
            case_id=name,
            digest=name,
            subject_id=name,
            image_uri=f"{name}.b2nd",
            shape=[9, 9, 9],
            spacing_mm=[1.0, 1.0, 1.0],
            split="test",
        )
        for name in "ab"
    )
    cases = list(multiplied(few, 5))
    assert [case.image_uri for case in cases] == ["a.b2nd", "b.b2nd", "a.b2nd", "b.b2nd", "a.b2nd"]
    assert {case.split for case in cases} == {"train"}
    for key in ("case_id", "digest", "subject_id"):
        assert len({getattr(case, key) for case in cases}) == 5


def test_counts_below_one_are_named(tmp_path):
    with pytest.raises(ConfigError, match=r"at least 1, got \{'num_workers': 0\}"):
        load(Bench, config(tmp_path, num_workers=0))
