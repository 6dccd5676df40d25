"""`bench`: what it prints last, its status, what it writes; the bench of `index` in small."""

import json
import os
import re
import subprocess
import sys
from types import ModuleType

import pytest
import yaml

from medssl import lookup
from medssl.config.load import load
from medssl.config.stages.bench import Bench
from medssl.data.phantom.bulk import write_bulk
from medssl.errors import ConfigError
from pipelines.__main__ import main
from pipelines.benches import Goal, Measured, Result
from pipelines.benches._measuring import alternate, on_cores, ratio
from pipelines.benches._scaling import Point, Scaling, growth, tree_bytes
from pipelines.benches.index_throughput import gather

LINE = r"[\w:.]+: \S+ .+ \((no goal|goal at (least|most) \S+)(, missed)?; \S+ to \S+\)"


def measured(value, goal):
    return Measured(name="speed", value=value, low=value, high=value, unit="m/s", goal=goal)


@pytest.fixture
def fixed(monkeypatch):
    """A bench that finds 2 m/s and no figure, and is told its goal."""

    class Fixed:
        def __init__(self, *, side: str, limit: float) -> None:
            self.goal = Goal(side=side, limit=limit)

        def __call__(self, folder):
            (folder / "seen.txt").write_text("2 m/s")
            found = (measured(7.0, None), measured(2.0, self.goal))
            return Result(measured=found, details={"seen": [2.0]}, figures=("seen.txt",))

    module = ModuleType("a_bench")
    module.Fixed = Fixed
    monkeypatch.setitem(sys.modules, "a_bench", module)

    def write(folder, side, limit):
        bench = {"name": "a_bench:Fixed", "side": side, "limit": limit}
        (folder / "fixed.yaml").write_text(
            yaml.safe_dump({"bench": bench, "output": str(folder / "out")})
        )
        return str(folder / "fixed.yaml")

    return write


@pytest.mark.parametrize(
    ("side", "limit", "status"),
    [("at least", 2, 0), ("at least", 2.1, 1), ("at most", 2, 0), ("at most", 1.9, 1)],
)
def test_the_status_says_whether_the_goal_is_met(fixed, tmp_path, capsys, side, limit, status):
    assert main(["bench", fixed(tmp_path, side, limit)]) == status
    shown = capsys.readouterr()
    missed = ", missed" if status else ""
    last = shown.out.splitlines()[-1]
    assert last == f"a_bench:Fixed.speed: 2 m/s (goal {side} {limit}{missed}; 2 to 2)"
    assert re.fullmatch(LINE, last)
    assert shown.err == ""


def test_a_number_that_is_none_meets_no_goal():
    assert measured(float("nan"), Goal(side="at least", limit=1.0)).is_short
    assert measured(float("nan"), Goal(side="at most", limit=1.0)).is_short


def test_it_writes_what_was_measured_where_and_by_which_code(fixed, tmp_path):
    assert main(["bench", fixed(tmp_path, "at least", 3)]) == 1
    found = json.loads((tmp_path / "out/bench.json").read_text())
    assert found["config"] == {"name": "a_bench:Fixed", "side": "at least", "limit": 3.0}
    assert [one["is_short"] for one in found["measured"]] == [False, True]
    assert found["details"] == {"seen": [2.0]}
    assert re.search(r"\d+ usable cores", found["machine"]["processor"])
    assert "commit" in found


@pytest.mark.slow
def test_a_run_keeps_the_numbers_and_the_files(fixed, tmp_path):
    store = f"sqlite:///{tmp_path / 'mlflow.db'}"
    tracker = f"tracker={{name: mlflow, uri: '{store}'}}"
    assert main(["bench", fixed(tmp_path, "at least", 3), "--set", tracker]) == 1
    client = lookup.build("medssl.tracking", "mlflow", uri=store).client
    (run,) = client.search_runs(["1"])
    assert run.info.status == "FINISHED"
    assert run.data.metrics == {"a_bench:Fixed/speed": 2.0}
    names = {one.path for one in client.list_artifacts(run.info.run_id)}
    assert {"bench.json", "seen.txt"} <= names


# The bench of `index` and `cache`


@pytest.fixture(scope="module")
def series(tmp_path_factory):
    """24 files of two series, and a note beside them."""
    folder = tmp_path_factory.mktemp("archive")
    write_bulk(folder, 24, slices=12)
    (folder / "README").write_text("no image")
    return folder


def config(series, folder, **keys):
    bench = {
        "name": "index_throughput",
        "sources": [str(series)],
        "converters": [{"name": "dcm2niix"}],
        "goals": {},
        "repetitions": 2,
        "scaling": {
            "sizes": [10, 20, 30],
            "whole_up_to": 20,
            "repetitions": 1,
            "most_time": 1e6,
            "most_memory": 1e6,
        },
    }
    path = folder / "bench.yaml"
    path.write_text(yaml.safe_dump({"bench": bench | keys, "output": str(folder / "out")}))
    return str(path)


@pytest.mark.long
def test_index_is_measured_against_every_peer_and_over_sizes(series, tmp_path, capsys):
    peers = [{"name": "simpleitk"}, {"name": "dicom2nifti"}, {"name": "dcm2niix"}]
    goals = {"dicom2nifti": 1e-9, "dcm2niix": 1e-9}
    assert main(["bench", config(series, tmp_path, converters=peers, goals=goals)]) == 0
    lines = capsys.readouterr().out.splitlines()[-7:]
    assert all(re.fullmatch(LINE, line) for line in lines)
    assert [line.split(":")[0].removeprefix("index_throughput.") for line in lines] == [
        "headers_time", "headers_memory", "whole_time", "whole_memory",
        "SimpleITK", "dicom2nifti", "dcm2niix",
    ]  # fmt: skip
    details = json.loads((tmp_path / "out/bench.json").read_text())["details"]
    assert details["files"] == 24
    assert {name: len(each) for name, each in details["files_per_s"].items()} == dict.fromkeys(
        ["medssl", "SimpleITK", "dicom2nifti", "dcm2niix"], 2
    )
    assert [(one["part"], one["num_files"]) for one in details["scaling"]] == [
        ("headers", 10), ("headers", 20), ("headers", 30), ("whole", 10), ("whole", 20),
    ]  # fmt: skip
    assert all(one["peak_bytes"] > 2**20 for one in details["scaling"])
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"bench.json", "scaling.png"}


@pytest.mark.long
def test_a_goal_against_a_peer_that_is_missed_ends_with_status_1(series, tmp_path, capsys):
    path = config(series, tmp_path, goals={"dcm2niix": 1e9})
    assert main(["bench", path]) == 1
    last = capsys.readouterr().out.splitlines()[-1]
    assert re.fullmatch(
        r"index_throughput\.dcm2niix: .* \(goal at least 1e\+09, missed; .*\)", last
    )


def test_a_peer_that_is_not_installed_is_named_before_anything_is_measured(
    series, tmp_path, capsys, monkeypatch
):
    monkeypatch.setitem(sys.modules, "dcm2niix", None)
    assert main(["bench", config(series, tmp_path)]) == 2
    said = capsys.readouterr().err
    assert "medssl: dcm2niix is not installed; pip install -e '.[dev]'" in said
    assert not list((tmp_path / "out").iterdir())


@pytest.mark.parametrize(
    ("keys", "line"),
    [
        ({"goals": {"dcm2nix": 1.0}}, r"\['dcm2nix'\] are none of the converters \['dcm2niix'\]"),
        ({"repetitions": 0}, r"at least 1, got 0, 2"),
        ({"converters": [{"name": "dcm2nix"}]}, r"no 'dcm2nix' .* mean 'dcm2niix'\?"),
        ({"scaling": {"sizes": [20, 10]}}, r"ascending numbers of files, got \[20, 10\]"),
        ({"scaling": {"sizes": [10]}}, r"at least 2 items"),
        ({"scaling": {"size": [10, 20]}}, r"scaling\.size: Unexpected"),
    ],
)
def test_a_mistake_in_the_config_is_named(series, tmp_path, keys, line):
    path = tmp_path / "bench.yaml"
    config(series, tmp_path, **keys)
    with pytest.raises(ConfigError, match=line):
        load(Bench, path)


def test_a_folder_without_dicom_is_named(tmp_path, capsys):
    (tmp_path / "README").write_text("no image")
    assert main(["bench", config(tmp_path, tmp_path)]) == 2
    assert f"{tmp_path}: expected a folder with DICOM files" in capsys.readouterr().err


def test_all_get_the_same_files_a_folder_a_series(series, tmp_path):
    sizes_bytes = gather((str(series),), tmp_path)
    copies = sorted(tmp_path.rglob("*.dcm"))
    originals = sorted(series.rglob("*.dcm"))
    assert [path.read_bytes() for path in copies] == [path.read_bytes() for path in originals]
    assert sizes_bytes == [path.stat().st_size for path in originals]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["000", "001"]


# How it is measured


def test_contenders_take_turns_and_start_from_nothing(tmp_path):
    order = []

    def work(name):
        def run(output):
            assert list(output.iterdir()) == []
            (output / "file").touch()
            order.append(name)

        return run

    taken_s = alternate({name: work(name) for name in "abc"}, tmp_path, 2)
    assert "".join(order) == "abccabbca"
    assert {name: len(each) for name, each in taken_s.items()} == {"a": 2, "b": 2, "c": 2}
    assert list(tmp_path.iterdir()) == []


def test_a_ratio_is_the_median_of_what_was_measured_together():
    found = ratio("x", [2.0, 30.0, 8.0], [1.0, 10.0, 2.0], unit="x")
    assert (found.value, found.low, found.high) == (3.0, 2.0, 4.0)


def test_cores_are_given_back():
    if not hasattr(os, "sched_getaffinity"):
        pytest.skip("this system has no affinity")
    before = os.sched_getaffinity(0)
    with on_cores(1):
        inside = os.sched_getaffinity(0)
        child = "import os; print(len(os.sched_getaffinity(0)))"
        seen = subprocess.run([sys.executable, "-c", child], capture_output=True, check=True)
    assert len(inside) == int(seen.stdout) == 1
    assert os.sched_getaffinity(0) == before


def test_memory_counts_children():
    grandchild = (
        "import sys; x = b'x' * (200 * 2**20); print('ready', flush=True); sys.stdin.read()"
    )
    child = (
        "import subprocess, sys; "
        f"subprocess.run([sys.executable, '-c', {grandchild!r}], stdin=sys.stdin)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", child], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as running:
        running.stdout.readline()
        peak = tree_bytes(running.pid)
        running.stdin.close()
    assert 200 * 2**20 < peak < 300 * 2**20
    assert tree_bytes(running.pid) == 0


@pytest.mark.parametrize(
    ("wall_s", "peak_bytes", "short"),
    [
        ((1, 10, 109), (100, 110, 119), []),
        ((1, 10, 111), (100, 110, 119), ["headers_time"]),
        ((1, 10, 100), (100, 110, 121), ["headers_memory"]),
        ((9, 10, 100), (100, 110, 119), []),  # a start that costs is no growth
    ],
)
def test_growth_is_of_time_over_the_size_before_and_of_memory_over_the_smallest(
    wall_s, peak_bytes, short
):
    sizes = (1_000, 10_000, 100_000)
    points = [
        Point("headers", size, 0, wall, 0.0, peak)
        for size, wall, peak in zip(sizes, wall_s, peak_bytes, strict=True)
    ]
    found = growth(points, Scaling(whole_up_to=1_000))
    assert [one.name for one in found if one.is_short] == short
