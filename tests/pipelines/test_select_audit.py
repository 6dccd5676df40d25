"""What `select` says of its decisions: in words, in `kept_by.parquet`, in the tracker."""

import re

import numpy as np
import pyarrow.parquet as pq
import pytest
from selections import audit, left, select, write_cases, write_rows, write_voxels

from medssl import lookup
from medssl.data.manifest import Case, Manifest, read_manifest
from pipelines._selection_audit import kept_by

FAR = 2**32 - 1


def slices_of_two_cases(root):
    """a: slices 0-3, of which 0 is blank and 2, 3 look like 1; of b, the same subject, 1 and 2."""
    common = {"subject_id": "s", "site": "x"}
    write_cases(root, {"case_id": "a", **common}, {"case_id": "b", **common, "slices": [1, 2]})
    write_rows(
        root,
        "hash",
        ("a", range(4), [[0], [0], [1], [3]], [True, False, False, False]),
        ("b", range(4), [[9], [FAR], [3], [9]], [False] * 4),
    )


def test_blank_slices_of_a_case_that_shows_something_are_said(tmp_path, capsys):
    slices_of_two_cases(tmp_path)
    assert select(tmp_path) == 0
    said = capsys.readouterr().out.splitlines()[0]
    assert said == "kept 2 of 6 slices (33.3%): 1 blank, 2 kept, 3 represented"
    assert left(tmp_path) == {"a": [1], "b": [1]}


def test_nothing_is_said_of_blank_slices_where_there_are_none(tmp_path, capsys):
    write_cases(tmp_path, {"case_id": "a"})
    write_rows(tmp_path, "hash", ("a", range(4), [[0], [0], [1], [3]], [False] * 4))
    assert select(tmp_path) == 0
    assert not re.search(r"\d blank", capsys.readouterr().out)


def case(name, **more):
    usual = {"shape": [8, 8, 4], "spacing_mm": [1.0] * 3, "split": "train"}
    return Case(case_id=name, digest=name, subject_id=name, image_uri=name, **(usual | more))


BEFORE = [
    case("whole", site="x", scanner="m", shape=[8, 8, 7]),
    case("listed", site="x", slices=[0, 2, 3]),
    case("gone", site="y", scanner="m", slices=[1, 2]),
    case("nowhere", slices=[3]),
    case("tested", site="y", split="test"),
]
AFTER = [
    case("whole", site="x", scanner="m", shape=[8, 8, 7], slices=[0, 6]),
    case("listed", site="x", slices=[0, 2, 3]),
    case("nowhere", slices=[3]),
    case("tested", site="y", split="test"),
]


def told(unit):
    table = kept_by(Manifest.of(BEFORE), Manifest.of(AFTER), unit)
    return [tuple(row.values()) for row in table.to_pylist()]


def test_what_is_left_is_counted_in_slices_where_slices_were_selected():
    # x has all 7 of the one and the 3 that the other lists; what is tested is not counted.
    assert told("slice") == [
        ("site", "x", 10, 5, 0.5),
        ("site", "y", 2, 0, 0.0),
        ("site", None, 1, 1, 1.0),
        ("scanner", "m", 9, 2, pytest.approx(2 / 9)),
        ("scanner", None, 4, 4, 1.0),
    ]


def test_what_is_left_is_counted_in_cases_where_volumes_were_selected():
    assert told("volume") == [
        ("site", "x", 2, 2, 1.0),
        ("site", "y", 1, 0, 0.0),
        ("site", None, 1, 1, 1.0),
        ("scanner", "m", 2, 1, 0.5),
        ("scanner", None, 2, 2, 1.0),
    ]


def test_the_stage_counts_the_slices_that_each_site_keeps(tmp_path):
    slices_of_two_cases(tmp_path)
    select(tmp_path)
    # Of a 4 slices and of b 2, whether they show something or not; 1 of each is left.
    assert pq.read_table(tmp_path / "small" / "kept_by.parquet").to_pylist() == [
        {
            "column": "site",
            "value": "x",
            "rows": 6,
            "kept_rows": 2,
            "kept_share": pytest.approx(1 / 3),
        }
    ]


@pytest.mark.slow
def test_the_audit_and_the_figures_are_kept_with_the_run(tmp_path):
    slices_of_two_cases(tmp_path)
    for name in "ab":
        write_voxels(tmp_path, name, np.random.default_rng(0).integers(1000, size=(8, 8, 4)))
    store = f"sqlite:///{tmp_path / 'mlflow.db'}"
    tracker = f"{{name: mlflow, uri: '{store}'}}"
    assert select(tmp_path, tracker=tracker, num_examples=1) == 0
    client = lookup.build("medssl.tracking", "mlflow", uri=store).client
    (run,) = client.search_runs(["1"])
    files = {
        file.path: file.file_size
        for folder in (None, "figures")
        for file in client.list_artifacts(run.info.run_id, folder)
        if not file.is_dir
    }
    assert files.keys() - {"config.yaml"} == {
        "audit.parquet",
        "kept_by.parquet",
        "figures/selection_0.png",
        "figures/kept_by.png",
        "figures/dropped.png",
    }
    for name, size in files.items():
        if name != "config.yaml":
            assert size == (tmp_path / "small" / name).stat().st_size


@pytest.mark.long
@pytest.mark.usefixtures("environment_kept")
def test_workers_of_a_cluster_select_the_same(tmp_path):
    from distributed import LocalCluster  # which the tests above need not load

    names = [f"c{number}" for number in range(6)]
    write_cases(tmp_path, *[{"case_id": name} for name in names], shape=(8, 8, 20))
    walk = np.cumsum(np.random.default_rng(0).integers(0, 3, size=(6, 20)), axis=1)
    rows = [
        (name, range(20), [[(1 << int(bits)) - 1] for bits in one], [k == 3 for k in range(20)])
        for name, one in zip(names, walk, strict=True)
    ]
    write_rows(tmp_path, "hash", *rows)
    keys = {"within": "case", "selector.similarity.radius": 2}
    assert select(tmp_path, **keys, jobs=1) == 0
    alone, manifest = audit(tmp_path), read_manifest(tmp_path / "small/manifest.parquet")
    assert 12 < sum(row["kept"] for row in alone) < 100
    with LocalCluster(
        n_workers=1, host="127.0.0.1", dashboard_address="127.0.0.1:0", memory_limit=0
    ) as cluster:
        scheduler = cluster.scheduler_address
        assert select(tmp_path, **keys, scheduler=scheduler, memory_gib=1e-9) == 0
    assert audit(tmp_path) == alone
    again = read_manifest(tmp_path / "small/manifest.parquet")
    assert again.table.equals(manifest.table)
