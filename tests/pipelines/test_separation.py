"""`separation` on codes that are made up: what is planted in either code is found there alone."""

import json
from pathlib import PurePosixPath

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml

from medssl.data.manifest import Case, Manifest, write_manifest
from pipelines.__main__ import main
from pipelines._parts import Part, Rows, write_part

DIGITS = {"digit": {"of": "digit"}}
SIZES = {"size": {"of": "size", "kind": "number"}, "size_third": {"of": "size", "kind": "thirds"}}


def cases(change=None):
    """60 subjects of two cases each, a background and a target; two thirds are for training."""
    rng = np.random.default_rng(0)
    found = []
    for n in range(120):
        is_target = n % 2 == 1
        attributes = {"size": f"{rng.normal(50, 5):.3f}"}
        if is_target:
            attributes["digit"] = str(rng.integers(3))
        found.append(
            Case(
                case_id=f"c{n}",
                digest=f"d{n}",
                subject_id=f"s{n // 2}",
                image_uri=f"volumes/c{n}.b2nd",
                shape=[8, 8, 1],
                spacing_mm=[1.0, 1.0, 1.0],
                attributes=attributes | (change or {}).get(n, {}),
                group="target" if is_target else "background",
                split="train" if n < 80 else "test",
            )
        )
    return found


def apart(some, seed=0):
    """A common code that tells sizes, and a salient one that tells digits and is 0 without."""
    rng = np.random.default_rng([seed, 1])
    size = np.array([float(case.attributes["size"]) for case in some])
    digit = np.array([int(case.attributes.get("digit", -1)) for case in some])
    common, salient = 0.1 * rng.normal(size=(len(some), 4)), np.zeros((len(some), 3))
    common[:, 0] += (size - 50) / 5
    salient[digit >= 0] = np.eye(3)[digit[digit >= 0]]
    salient += 0.01 * rng.normal(size=salient.shape)
    return {"common": common, "common_projection": 2 * common, "salient": salient,
            "salient_projection": -salient}  # fmt: skip


def write_codes(folder, some, spaces, cell=None):
    values = np.concatenate(list(spaces.values()), axis=1).astype(np.float32)
    names = [f"{name}.{n}" for name, of in spaces.items() for n in range(of.shape[1])]
    none, shown = np.array([-1]), np.array([False])
    rows = [
        Rows(case.case_id, PurePosixPath(case.image_uri).name, none, row[None], shown)
        for case, row in zip(some, values, strict=True)
    ]
    write_part(Part(folder / "rows" / "part-00000.parquet", 0, len(rows)), rows, "a stamp")
    card = {
        "format": 2, "kind": "vector", "unit": "volume", "num_rows": len(rows),
        "dim": values.shape[1], "columns": [] if "both" in spaces else names,
    }  # fmt: skip
    if cell:
        card["cell"] = cell
    (folder / "card.json").write_text(json.dumps(card))
    return folder


@pytest.fixture
def made(tmp_path):
    """Two draws of codes that are kept apart, and of one encoder that tells all."""
    some = cases()
    write_manifest(Manifest.of(some), tmp_path / "manifest.parquet")
    folders = []
    for draw in range(2):
        spaces = apart(some, draw)
        one = {"both": np.concatenate([spaces["common"], spaces["salient"]], axis=1)}
        for arm, of in (("apart", spaces), ("one", one)):
            cell = {"arm": arm, "draw": str(draw)}
            folders.append(write_codes(tmp_path / f"{arm}-{draw}", some, of, cell))
    return folders


def run(root, folders, **more):
    config = {
        "manifest": str(root / "manifest.parquet"),
        "descriptors": [str(folder) for folder in folders],
        "output": str(root / "separation"),
        "target": {"by": "group", "equals": "target"},
        "salient": DIGITS,
        "common": SIZES,
        "num_resamples": 100,
        "num_permutations": 2,
    } | more
    (root / "separation.yaml").write_text(yaml.safe_dump(config))
    return main(["separation", str(root / "separation.yaml")])


def lines(root):
    return json.loads((root / "separation" / "table.json").read_text())["lines"]


def line(root, **which):
    (found,) = [one for one in lines(root) if which.items() <= one.items()]
    return found


def test_what_is_in_one_code_is_found_there_and_not_in_the_other(tmp_path, made, capsys):
    assert run(tmp_path, made) == 0
    for level in ("representation", "projection"):
        group = line(tmp_path, arm="apart", level=level, attribute="group")
        assert group["salient"]["mean"] == 1
        assert group["common"]["mean"] == pytest.approx(0.5, abs=0.2)
        assert (group["chance"], group["belongs"]) == (0.5, "salient")
        digit = line(tmp_path, arm="apart", level=level, attribute="digit")
        assert digit["salient"]["mean"] == 1
        assert digit["common"]["mean"] < 0.6
        assert digit["chance"] == pytest.approx(1 / 3)
        assert (digit["num_fitted"], digit["num_scored"], digit["num_subjects"]) == (40, 20, 20)
        size = line(tmp_path, arm="apart", level=level, attribute="size")
        assert size["common"]["mean"] > 0.9
        assert size["salient"]["mean"] < 0.3
        third = line(tmp_path, arm="apart", level=level, attribute="size_third")
        assert third["common"]["mean"] > 0.75
        assert third["salient"]["mean"] < 0.6
        for one in (group, digit, size, third):
            assert one["common"]["low"] <= one["common"]["mean"] <= one["common"]["high"]
            assert one["shuffled_salient"] < one["chance"] + 0.3
    assert "deviation from a perfect separation, apart representation" in capsys.readouterr().out


def test_one_encoder_stands_for_both_codes_and_is_further_off(tmp_path, made):
    assert run(tmp_path, made) == 0
    for attribute in ("group", "digit", "size"):
        one = line(tmp_path, arm="one", attribute=attribute)
        assert one["common"] == one["salient"]
        assert one["level"] == "representation"
    off = json.loads((tmp_path / "separation/deviation.json").read_text())["deviations"]
    by_arm = {one["arm"]: one for one in off if one["level"] == "representation"}
    assert by_arm["apart"]["deviation"] < by_arm["one"]["deviation"]
    assert len(by_arm["one"]["draws"]) == 2
    lines_of_one = [one for one in lines(tmp_path) if one["arm"] == "one"]
    first = sum(
        abs(one["draws"][0]["salient"] - (1 if one["belongs"] == "salient" else one["chance"]))
        + abs(one["draws"][0]["common"] - (1 if one["belongs"] == "common" else one["chance"]))
        for one in lines_of_one
    )
    assert by_arm["one"]["draws"][0] == pytest.approx(first)


def test_predictions_of_unseen_cases_stand_in_a_table_and_make_the_scores(tmp_path, made):
    assert run(tmp_path, made) == 0
    told = pq.read_table(tmp_path / "separation/predictions.parquet").to_pylist()
    assert {one["case_id"] for one in told} == {f"c{n}" for n in range(80, 120)}
    own = [
        one
        for one in told
        if (one["attribute"], one["arm"], one["draw"], one["code"], one["level"])
        == ("digit", "apart", "1", "common", "representation")
    ]
    by_class = [
        np.mean([one["predicted"] == label for one in own if one["label"] == label])
        for label in sorted({one["label"] for one in own})
    ]
    found = line(tmp_path, arm="apart", level="representation", attribute="digit")["draws"][1]
    assert found == {"draw": "1", "common": pytest.approx(np.mean(by_class)), "salient": 1.0}


def test_codes_are_drawn_and_all_of_it_is_tracked(tmp_path, made):
    import mlflow

    store = f"sqlite:///{tmp_path}/mlflow.db"
    tracker = {"name": "mlflow", "uri": store, "experiment": "separation"}
    assert run(tmp_path, made, tracker=tracker) == 0
    client = mlflow.MlflowClient(store)
    (experiment,) = [e for e in client.search_experiments() if e.name == "separation"]
    (tracked,) = client.search_runs([experiment.experiment_id])
    names = {file.path for file in client.list_artifacts(tracked.info.run_id)}
    assert {"table.json", "deviation.json", "separation.png", "codes_apart.png"} <= names
    assert tracked.data.metrics["from_salient/digit/apart/representation"] == 1
    assert tracked.data.metrics["chance/digit/apart/representation"] == pytest.approx(1 / 3)
    assert "deviation/apart/representation" in tracked.data.metrics


def test_who_fits_decides_nothing_and_neither_does_the_order_of_folders(tmp_path, made):
    assert run(tmp_path, made) == 0
    before = {(one["arm"], one["level"], one["attribute"]): one for one in lines(tmp_path)}
    assert run(tmp_path, made[::-1], scheduler="processes") == 0
    after = {(one["arm"], one["level"], one["attribute"]): one for one in lines(tmp_path)}
    assert before == after


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"common": {"digit": {"of": "size"}}}, "both have ['digit']"),
        ({"common": {"group": {"of": "size"}}}, "call the attribute otherwise"),
        ({"scored_on": "train"}, "got train twice"),
        ({"scored_on": "val"}, "no case of the split 'val': expected one of ['test', 'train']"),
        ({"salient": {"x": {"of": "shade"}}}, "attribute x: 40 of 40"),
        ({"salient": {"digit": {"of": "digit", "among": "all"}}}, "attribute digit: 40 of 80"),
        ({"target": {"by": "group", "equals": "sick"}}, "attribute group: expected different"),
        ({"common": {"name": {"of": "case_id"}}}, "attribute name: no case to fit on is of"),
    ],
)  # fmt: skip
def test_a_mistake_is_named(tmp_path, made, capsys, more, said):
    assert run(tmp_path, made, **more) == 2
    assert said in capsys.readouterr().err


def test_a_class_of_too_few_subjects_is_named(tmp_path, made, capsys):
    some = cases({1: {"digit": "9"}})
    write_manifest(Manifest.of(some), tmp_path / "manifest.parquet")
    assert run(tmp_path, made) == 2
    assert "attribute digit: expected class 3 of at least 3 subjects" in capsys.readouterr().err
