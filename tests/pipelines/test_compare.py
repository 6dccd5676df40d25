import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.__main__ import main


def evaluation(folder, values, **cell):
    """Write what `evaluate` leaves: a row a class and case; `values` by class and subject."""
    rows = [
        {"case_id": f"c{n}", "subject_id": f"s{n}", "class_name": name, "dice": value}
        for name, of_class in values.items()
        for n, value in enumerate(of_class)
    ]
    folder.mkdir()
    pq.write_table(pa.Table.from_pylist(rows), folder / "cases.parquet")
    (folder / "summary.json").write_text(json.dumps({"cell": cell}))
    return str(folder)


def compare(root, paths, **more):
    keys = {"evaluations": json.dumps(paths), "output": root / "out"} | more
    flags = [word for key, value in keys.items() for word in ("--set", f"{key}={value}")]
    return main(["compare", "configs/compare/arms.yaml", *flags])


@pytest.fixture
def arms(tmp_path):
    low = {"head": [0.5, 0.6, 0.7], "body": [0.4, 0.5, 0.9]}
    high = {name: [value + 0.1 for value in of_class] for name, of_class in low.items()}
    return [
        evaluation(tmp_path / "a", low, arm="scratch", labels="1"),
        evaluation(tmp_path / "b", high, arm="pretrained", labels="1"),
    ]


def test_the_table_holds_means_intervals_and_paired_differences(tmp_path, arms, capsys):
    assert compare(tmp_path, arms) == 0
    lines = {
        (line["arm"], line["class_name"]): line
        for line in json.loads((tmp_path / "out" / "table.json").read_text())["lines"]
    }
    assert lines["scratch", "head"]["score"]["mean"] == pytest.approx(0.6)
    assert lines["pretrained", "mean"]["score"]["mean"] == pytest.approx(0.7)
    difference = lines["pretrained", "body"]["difference"]
    assert list(difference.values()) == pytest.approx([0.1, 0.1, 0.1])
    assert lines["scratch", "body"]["difference"] is None
    assert lines["pretrained", "head"]["setting"] == "labels-1"
    # Three subjects have 8 sign patterns, of which 2 are as far from 0 as +0.1 for all.
    assert lines["pretrained", "head"]["p"] == pytest.approx(0.25)
    assert lines["scratch", "head"]["p_holm"] is None
    shown = capsys.readouterr().out
    assert "+0.100 [+0.100, +0.100]" in shown
    assert "0.25 (0.25)" in shown
    assert (tmp_path / "out" / "arms.png").stat().st_size > 5000


def test_arms_without_a_further_axis_are_compared_too(tmp_path):
    arms = [
        evaluation(tmp_path / name, {"head": [0.5, 0.7]}, arm=name) for name in ("a", "scratch")
    ]
    assert compare(tmp_path, arms) == 0
    assert set(pq.read_table(tmp_path / "out/table.parquet")["setting"].to_pylist()) == {""}


def test_the_benchmark_is_the_reference_arms_mean_in_a_setting(tmp_path, arms, monkeypatch):
    many = evaluation(tmp_path / "c", {"head": [0.9] * 3}, arm="scratch", labels="all")
    drawn = {}
    monkeypatch.setattr("pipelines.compare.arms", lambda path, **named: drawn.update(named))
    changes = {"benchmark.labels": "all"}
    assert compare(tmp_path, [*arms, many], **changes) == 0
    assert drawn["benchmark"] == pytest.approx(0.9)
    assert [*drawn["scores"]["scratch"]] == ["1", "all"]
    assert drawn["along"] == "labels"


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"benchmark.labels": "none"}, "benchmark: expected one of the settings ['labels-1'], got"),
        ({"metric": "hausdorff"}, "has no metric 'hausdorff': expected one of"),
        ({"reference": "random"}, "expected the reference 'random' among the arms"),
        ({"evaluations": '["nowhere"]'}, "nowhere is no evaluation: expected summary.json"),
        ({"evaluations": "[]"}, "evaluations"),
    ],
)
def test_a_mistake_is_named(tmp_path, arms, capsys, change, line):
    assert compare(tmp_path, arms, **change) == 2
    assert line in capsys.readouterr().err
