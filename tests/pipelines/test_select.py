"""`select`: which rows are decided on, what is left of a manifest, and what the audit says."""

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from medssl import lookup
from medssl.data.manifest import Case, Manifest, read_manifest, write_manifest
from pipelines.__main__ import main

SLICES = 4
CONFIGS = ["every_n", "near_duplicate_volumes", "near_duplicates", "uniform"]


def manifest(root, *rows):
    """Write a manifest of (case, subject, split, has a label, slices)."""
    cases = [
        Case(
            case_id=name,
            digest=name,
            subject_id=subject,
            image_uri=f"volumes/{name}.b2nd",
            label_uri=f"labels/{name}.b2nd" if labeled else None,
            shape=[8, 8, SLICES],
            spacing_mm=[1.0, 1.0, 1.0],
            split=split,
            slices=slices,
        )
        for name, subject, split, labeled, slices in rows
    ]
    (root / "cache").mkdir(exist_ok=True)
    write_manifest(Manifest.of(cases), root / "cache" / "manifest.parquet")


def descriptors(root, kind, rows):
    """Write what `embed` would: (case, slice, value, blank)."""
    names, slices, values, blank = zip(*rows, strict=True)
    out = root / "rows"
    out.mkdir(exist_ok=True)
    dtype = np.uint64 if kind == "hash" else np.float32
    np.save(out / "values.npy", np.array(values, dtype)[:, None])
    table = {"case_id": names, "slice": pa.array(slices, pa.int32()), "blank": blank}
    pq.write_table(pa.table(table), out / "rows.parquet")
    unit = "volume" if slices[0] is None else "slice"
    card = {"format": 1, "kind": kind, "unit": unit, "num_rows": len(rows), "dim": 1}
    (out / "card.json").write_text(json.dumps(card))


def select(root, config="near_duplicates", **keys):
    keys = {
        "manifest": root / "cache" / "manifest.parquet",
        "descriptors": root / "rows",
        "output": root / "small",
    } | keys
    flags = [word for key, value in keys.items() for word in ("--set", f"{key}={value}")]
    return main(["select", f"configs/select/{config}.yaml", *flags])


def left(root):
    return {case.case_id: case.slices for case in read_manifest(root / "small/manifest.parquet")}


def audit(root):
    rows = pq.read_table(root / "small" / "audit.parquet").to_pylist()
    return {(row.pop("case_id"), row.pop("slice")): row for row in rows}


def two_subjects(root, **keys):
    """Volumes a, b of one subject and c of another look alike; d is alone."""
    labeled = keys.get("labeled", "")
    splits = dict.fromkeys("abcd", "train")
    subjects = {"a": "s", "b": "s", "c": "t", "d": "u"}
    manifest(root, *[(n, subjects[n], splits[n], n in labeled, None) for n in "abcd"])
    values = {"a": 0, "b": 3, "c": 1, "d": 2**40 - 1}
    blank = keys.get("blank", "")
    # In another order than the manifest's, with a case that it does not list.
    descriptors(root, "hash", [(n, None, values.get(n, 7), n in blank) for n in "dxcba"])


def test_duplicates_are_dropped_within_a_subject(tmp_path):
    two_subjects(tmp_path)
    assert select(tmp_path) == 0
    assert left(tmp_path) == dict.fromkeys("acd")
    rows = audit(tmp_path)
    assert rows["b", None] == {
        "kept": False,
        "reason": "represented",
        "stands_for_case": "a",
        "stands_for_slice": None,
        "similarity": 1 - 2 / 64,
    }
    assert rows["c", None] == {
        "kept": True,
        "reason": "kept",
        "stands_for_case": "c",
        "stands_for_slice": None,
        "similarity": 1.0,
    }


@pytest.mark.parametrize(("within", "kept"), [("case", "abcd"), ("subject", "acd"), ("all", "ad")])
def test_within_says_what_is_compared(tmp_path, within, kept):
    two_subjects(tmp_path)
    select(tmp_path, within=within)
    assert "".join(left(tmp_path)) == kept


def test_a_labeled_case_is_kept_and_stands_for_others(tmp_path):
    two_subjects(tmp_path, labeled="b")
    select(tmp_path)
    assert "".join(left(tmp_path)) == "bcd"
    rows = audit(tmp_path)
    assert (rows["b", None]["reason"], rows["a", None]["stands_for_case"]) == ("labeled", "b")


def test_labeled_duplicates_are_all_kept(tmp_path):
    two_subjects(tmp_path, labeled="ab")
    select(tmp_path)
    assert "".join(left(tmp_path)) == "abcd"
    assert audit(tmp_path)["b", None]["stands_for_case"] == "b"


def test_labels_play_no_part_where_they_are_told_not_to(tmp_path, capsys):
    two_subjects(tmp_path, labeled="bd")
    select(tmp_path, keep_labeled=False)
    assert "".join(left(tmp_path)) == "acd"
    assert "1 labeled ones dropped" in capsys.readouterr().out


def test_blank_volumes_are_dropped_for_no_other(tmp_path):
    two_subjects(tmp_path, blank="ad", labeled="d")
    select(tmp_path)
    assert "".join(left(tmp_path)) == "bcd"
    row = audit(tmp_path)["a", None]
    assert (row["kept"], row["reason"], row["stands_for_case"]) == (False, "blank", None)
    assert row["similarity"] is None


def slices_of_three_cases(root):
    """a: slices 0-3, of which 0 is blank and 2, 3 look like 1; b the same subject; c is tested."""
    manifest(
        root,
        ("a", "s", "train", False, None),
        ("b", "s", "train", False, [1, 2]),
        ("c", "t", "test", True, [0]),
    )
    far = 2**32 - 1
    rows = [("a", k, [0, 0, 1, 3][k], k == 0) for k in range(SLICES)]
    rows += [("b", k, [9, far, 3, 9][k], False) for k in range(SLICES)]
    rows += [("c", 0, 0, False)]
    descriptors(root, "hash", rows)


def test_a_case_keeps_a_list_of_slices(tmp_path):
    slices_of_three_cases(tmp_path)
    assert select(tmp_path) == 0
    assert left(tmp_path) == {"a": [1], "b": [1], "c": [0]}
    rows = audit(tmp_path)
    assert [(key, row["reason"]) for key, row in rows.items()] == [
        (("a", 0), "blank"),
        (("a", 1), "kept"),
        (("a", 2), "represented"),
        (("a", 3), "represented"),
        (("b", 1), "kept"),
        (("b", 2), "represented"),
        (("c", None), "other_split"),
    ]
    other = rows["b", 2]
    assert (other["stands_for_case"], other["stands_for_slice"]) == ("a", 1)
    assert rows["c", None]["kept"]


def test_slices_of_a_case_may_be_compared_with_each_other_alone(tmp_path):
    slices_of_three_cases(tmp_path)
    select(tmp_path, within="case")
    assert left(tmp_path) == {"a": [1], "b": [1, 2], "c": [0]}


def test_a_case_of_which_no_slice_is_kept_is_left_out(tmp_path):
    manifest(tmp_path, ("a", "s", "train", False, None), ("b", "s", "train", False, None))
    rows = [(name, k, 2 ** (9 * k) - 1, False) for name in "ab" for k in range(SLICES)]
    descriptors(tmp_path, "hash", rows)
    select(tmp_path)
    assert left(tmp_path) == {"a": None}


def test_a_labeled_case_keeps_all_slices_blank_ones_included(tmp_path):
    manifest(tmp_path, ("a", "s", "train", False, None), ("b", "s", "train", True, [3, 0]))
    rows = [(name, k, 0, k == 0) for name in "ab" for k in range(SLICES)]
    descriptors(tmp_path, "hash", rows)
    select(tmp_path)
    assert left(tmp_path) == {"b": [3, 0]}


def test_paths_lead_to_the_same_files_from_the_new_folder(tmp_path):
    two_subjects(tmp_path, labeled="a")
    (tmp_path / "cache" / "volumes").mkdir()
    for name in "acd":
        (tmp_path / "cache" / "volumes" / f"{name}.b2nd").touch()
    select(tmp_path, output=tmp_path / "deep" / "er" / "small")
    path = tmp_path / "deep" / "er" / "small" / "manifest.parquet"
    for case in read_manifest(path):
        assert not Path(case.image_uri).is_absolute()
        assert (path.parent / case.image_uri).resolve().is_file()
    (labeled,) = [case.label_uri for case in read_manifest(path) if case.label_uri]
    assert (path.parent / labeled).resolve() == tmp_path / "cache/labels/a.b2nd"


@pytest.mark.parametrize("name", CONFIGS)
def test_every_config_on_hashes_runs(tmp_path, name):
    two_subjects(tmp_path)
    assert select(tmp_path, name) == 0
    assert 0 < len(left(tmp_path)) <= 4
    assert (tmp_path / "small" / "figures" / "selection.png").stat().st_size > 1000


def test_vectors_are_selected_from(tmp_path):
    two_subjects(tmp_path)
    descriptors(
        tmp_path, "vector", [(n, None, v, False) for n, v in zip("abcd", [0, 1, 9, 8], strict=True)]
    )
    assert select(tmp_path, "k_center", **{"selector.fraction": 0.5}) == 0
    assert len(left(tmp_path)) == 2
    assert {row["stands_for_case"] for row in audit(tmp_path).values()} == set(left(tmp_path))


def test_a_reduced_manifest_is_selected_from_again(tmp_path):
    slices_of_three_cases(tmp_path)
    select(tmp_path)
    again = {"manifest": tmp_path / "small" / "manifest.parquet", "output": tmp_path / "smaller"}
    assert select(tmp_path, "every_n", within="subject", **again) == 0
    smaller = read_manifest(tmp_path / "smaller" / "manifest.parquet")
    assert {case.case_id: case.slices for case in smaller} == {"a": [1], "c": [0]}
    assert smaller[0].image_uri == "../cache/volumes/a.b2nd"


@pytest.mark.slow
def test_a_selection_is_written_down_in_numbers(tmp_path):
    two_subjects(tmp_path, labeled="b")
    store = f"sqlite:///{tmp_path / 'mlflow.db'}"
    assert select(tmp_path, tracker=f"{{name: mlflow, uri: '{store}'}}") == 0
    client = lookup.build("medssl.tracking", "mlflow", uri=store).client
    (run,) = client.search_runs(["1"])
    numbers = run.data.metrics
    assert run.info.run_name == "select small"
    assert numbers["select/kept_share"] == 0.75
    assert numbers["select/kept_share_of_subject_min"] == 0.5
    assert (numbers["select/cases"], numbers["select/kept_cases"]) == (4, 3)
    assert (numbers["select/subjects"], numbers["select/kept_labeled_cases"]) == (3, 1)
    (used,) = run.inputs.dataset_inputs
    assert json.loads(used.dataset.profile) == {"cases": 4, "subjects": 3, "labeled": 1}


@pytest.mark.parametrize(
    ("config", "keys", "line"),
    [
        ("k_center", {}, "k_center takes a vector a row, .* holds a hash"),
        ("near_duplicates", {"descriptors": "nowhere"}, "nowhere holds no finished descriptors"),
        ("near_duplicates", {"manifest": "nowhere"}, "nowhere"),
        ("near_duplicates", {"within": "hospital"}, "within: "),
        ("near_duplicates", {"selector.radius": "far"}, "selector: radius: .*, got 'far'"),
    ],
)
def test_a_mistake_is_named(tmp_path, capsys, config, keys, line):
    two_subjects(tmp_path)
    assert select(tmp_path, config, **keys) == 2
    assert re.search(line, capsys.readouterr().err)


@pytest.mark.slow
@pytest.mark.parametrize("show", [True, False])
def test_selecting_loads_no_torch(tmp_path, show):
    two_subjects(tmp_path)
    words = ["select", "configs/select/near_duplicates.yaml", "--set"]
    for key, folder in {"manifest": "cache/manifest.parquet", "descriptors": "rows"}.items():
        words += [f"{key}={tmp_path / folder}", "--set"]
    words += [f"output={tmp_path / 'small'}", *["--show"] * show]
    code = (
        "import sys; from pipelines.__main__ import main; "
        f"assert main({words}) == 0; "
        "print({'torch', 'lightning', 'mlflow'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-1] == "set()"
    assert (tmp_path / "small").exists() == (not show)


def test_a_case_without_descriptors_is_named(tmp_path, capsys):
    two_subjects(tmp_path)
    descriptors(tmp_path, "hash", [("a", None, 0, False)])
    assert select(tmp_path) == 2
    assert "lacks 3 of the train cases, such as b; run `medssl embed`" in capsys.readouterr().err


def test_descriptors_that_disagree_with_their_rows_are_refused(tmp_path, capsys):
    two_subjects(tmp_path)
    np.save(tmp_path / "rows" / "values.npy", np.zeros((2, 1), np.uint64))
    assert select(tmp_path) == 2
    assert "values.npy has 2 rows, rows.parquet 5" in capsys.readouterr().err


def test_rows_that_are_all_blank_are_refused(tmp_path, capsys):
    two_subjects(tmp_path, blank="abcd")
    assert select(tmp_path) == 2
    assert "all 4 rows are blank; lower min_foreground" in capsys.readouterr().err


def test_a_manifest_without_train_cases_is_refused(tmp_path, capsys):
    two_subjects(tmp_path)
    manifest(tmp_path, ("a", "s", "test", False, None))
    assert select(tmp_path) == 2
    assert "no case has split 'train'" in capsys.readouterr().err
