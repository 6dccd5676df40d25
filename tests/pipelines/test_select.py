"""`select`: which rows are decided on, what is left of a manifest, and what the audit says."""

import json
import re
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from medssl import lookup
from medssl.data.cache import write_cached
from medssl.data.manifest import Case, Manifest, read_manifest, write_manifest
from medssl.data.preprocessing import Intensity
from medssl.data.volume import Volume
from pipelines import _descriptors
from pipelines.__main__ import main
from pipelines._parts import Part, Rows, write_part

SLICES = 4
CONFIGS = ["all", "calibrated", "every_n", "near_duplicate_volumes", "near_duplicates", "uniform"]


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


def descriptors(root, kind, rows, folder="rows"):
    """Write what `embed` would: (case, slice, value, blank)."""
    names, slices, values, blank = zip(*rows, strict=True)
    out = root / folder
    out.mkdir(exist_ok=True)
    dtype = np.uint64 if kind == "hash" else np.float32
    array = np.array(values, dtype).reshape(len(rows), -1)
    cases = [
        Rows(name, f"{name}.b2nd", np.array([-1 if k is None else k]), row[None], np.array([b]))
        for name, k, row, b in zip(names, slices, array, blank, strict=True)
    ]
    write_part(Part(out / "rows" / "part-00000.parquet", 0, len(cases)), cases, "a stamp")
    unit = "volume" if slices[0] is None else "slice"
    card = {"format": 2, "kind": kind, "unit": unit, "num_rows": len(rows), "dim": array.shape[1]}
    card |= {"descriptor": {"name": kind}, "weights": None}
    (out / "card.json").write_text(json.dumps(card))


def select(root, config="near_duplicates", **keys):
    keys = {
        "manifest": root / "cache" / "manifest.parquet",
        "descriptors": root / "rows",
        "output": root / "small",
        "num_examples": 0,  # there are no images
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
        "step": 0,
    }
    assert rows["c", None] == {
        "kept": True,
        "reason": "kept",
        "stands_for_case": "c",
        "stands_for_slice": None,
        "similarity": 1.0,
        "step": 0,
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
    assert (tmp_path / "small" / "figures" / "selection_0.png").stat().st_size > 1000


def test_vectors_are_selected_from(tmp_path):
    two_subjects(tmp_path)
    descriptors(
        tmp_path, "vector", [(n, None, v, False) for n, v in zip("abcd", [0, 1, 9, 8], strict=True)]
    )
    assert select(tmp_path, "k_center", **{"selector.fraction": 0.5}) == 0
    assert len(left(tmp_path)) == 2
    assert {row["stands_for_case"] for row in audit(tmp_path).values()} == set(left(tmp_path))


def test_values_that_are_many_lie_in_a_file_and_change_nothing(tmp_path, monkeypatch):
    many_slices(tmp_path)
    select(tmp_path, within="all")
    held = audit(tmp_path)
    monkeypatch.setattr(_descriptors, "IN_MEMORY", 0)
    rows = _descriptors.read_descriptors(
        tmp_path / "rows", read_manifest(tmp_path / "cache/manifest.parquet"), split="train"
    )
    assert isinstance(rows.values, np.memmap)
    assert select(tmp_path, within="all") == 0
    assert audit(tmp_path) == held


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
        ("k_center", {}, "KCenter takes rows of the kind vector, .* holds a hash"),
        ("near_duplicates", {"descriptors": "nowhere"}, "nowhere holds no finished descriptors"),
        ("near_duplicates", {"manifest": "nowhere"}, "nowhere"),
        ("near_duplicates", {"within": "hospital"}, "within: "),
        ("near_duplicates", {"selector.similarity.radius": "far"}, "radius: .*, got 'far'"),
    ],
)
def test_a_mistake_is_named(tmp_path, capsys, config, keys, line):
    two_subjects(tmp_path)
    assert select(tmp_path, config, **keys) == 2
    assert re.search(line, capsys.readouterr().err)


@pytest.mark.slow
@pytest.mark.parametrize("show", [True, pytest.param(False, marks=pytest.mark.long)])
def test_selecting_loads_no_torch(tmp_path, show):
    two_subjects(tmp_path)
    words = ["select", "configs/select/near_duplicates.yaml", "--set"]
    for key, folder in {"manifest": "cache/manifest.parquet", "descriptors": "rows"}.items():
        words += [f"{key}={tmp_path / folder}", "--set"]
    words += [f"output={tmp_path / 'small'}", "--set", "num_examples=0", *["--show"] * show]
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
    card = json.loads((tmp_path / "rows" / "card.json").read_text())
    (tmp_path / "rows" / "card.json").write_text(json.dumps(card | {"num_rows": 7}))
    assert select(tmp_path) == 2
    assert "card.json says 7 rows, its files hold 5; embed again" in capsys.readouterr().err
    (tmp_path / "rows" / "card.json").write_text(json.dumps(card | {"dim": 2}))
    assert select(tmp_path) == 2
    assert "expected 2 numbers a row, as in card.json, got 1" in capsys.readouterr().err
    (tmp_path / "rows" / "card.json").write_text(json.dumps(card | {"format": 1}))
    assert select(tmp_path) == 2
    assert "is of format 1, expected 2; embed again" in capsys.readouterr().err


def test_descriptors_of_another_image_are_refused(tmp_path, capsys):
    two_subjects(tmp_path)
    path = tmp_path / "cache" / "manifest.parquet"
    cases = [asdict(case) for case in read_manifest(path)]
    cases[2]["image_uri"] = "volumes/anew.b2nd"
    write_manifest(Manifest.of(Case(**case) for case in cases), path)
    assert select(tmp_path) == 2
    said = capsys.readouterr().err
    assert "describes another image of case c than the manifest lists (c.b2nd, anew.b2nd)" in said


def test_descriptors_that_are_no_numbers_are_refused(tmp_path, capsys):
    two_subjects(tmp_path)
    values = zip("abcd", [0, 1, np.nan, 8], strict=True)
    descriptors(tmp_path, "vector", [(n, None, v, False) for n, v in values])
    assert select(tmp_path, "k_center") == 2
    assert "1 of 4 rows hold numbers that are not finite, such as row 2" in capsys.readouterr().err


def test_a_budget_above_the_data_is_refused(tmp_path, capsys):
    two_subjects(tmp_path)
    assert select(tmp_path, "uniform", **{"selector.budget": 5}) == 2
    assert "the budget is 5 rows, but there are only 4" in capsys.readouterr().err


def test_selectors_follow_one_another_on_other_descriptors(tmp_path):
    slices_of_three_cases(tmp_path)
    vectors = [("a", None, [1.0, 0.0], False), ("b", None, [1.0, 0.1], False)]
    descriptors(tmp_path, "vector", vectors, folder="vectors")
    then = "[{selector: {name: k_center, fraction: 0.5}, descriptors: %s}]" % (tmp_path / "vectors")
    assert select(tmp_path, then=then) == 0
    log = pq.read_table(tmp_path / "small" / "audit.parquet").to_pylist()
    second = [row for row in log if row["step"] == 1]
    assert [row["reason"] for row in second] in (["kept", "represented"], ["represented", "kept"])
    (kept,) = [row["case_id"] for row in second if row["kept"]]
    assert left(tmp_path) == {kept: [1], "c": [0]}


def test_an_arm_keeps_as_many_rows_as_another(tmp_path, capsys):
    slices_of_three_cases(tmp_path)
    select(tmp_path)
    other = {"as_many_as": tmp_path / "small", "output": tmp_path / "matched"}
    assert select(tmp_path, "uniform", **other) == 0
    log = pq.read_table(tmp_path / "matched" / "audit.parquet").to_pylist()
    assert sum(row["kept"] for row in log if row["reason"] != "other_split") == 2
    assert select(tmp_path, "uniform", **(other | {"as_many_as": tmp_path / "rows"})) == 2
    assert "holds no selection (no audit.parquet)" in capsys.readouterr().err


def many_slices(root, cases=6):
    rng = np.random.default_rng(0)
    names = [f"c{number}" for number in range(cases)]
    manifest(root, *[(name, name, "train", False, None) for name in names])
    walk = np.cumsum(rng.integers(0, 3, size=(cases, SLICES)), axis=1)
    rows = [
        (name, k, (1 << int(walk[number, k])) - 1, False)
        for number, name in enumerate(names)
        for k in range(SLICES)
    ]
    descriptors(root, "hash", rows)


@pytest.mark.parametrize(
    "scheduler", ["threads", pytest.param("processes", marks=pytest.mark.slow)]
)
def test_who_works_changes_nothing(tmp_path, scheduler):
    many_slices(tmp_path)
    close = {"selector.similarity.radius": 1, "within": "case"}
    select(tmp_path, **close, jobs=1)
    alone = audit(tmp_path)
    assert select(tmp_path, **close, jobs=3, scheduler=scheduler, memory_gib=1e-9) == 0
    assert audit(tmp_path) == alone
    assert 6 <= sum(row["kept"] for row in alone.values()) < 24


@pytest.mark.long
def test_whom_the_target_is_evaluated_on_is_never_chosen(tmp_path, capsys):
    vectors = [(n, None, v, False) for n, v in zip("abcd", np.eye(4) + 1, strict=True)]
    manifest(tmp_path, ("t", "s1", "train", False, None), ("b", "s2", "test", False, None))
    (tmp_path / "cache").rename(tmp_path / "cohort")
    descriptors(tmp_path, "vector", [("t", None, np.ones(4), False)], folder="cohort_rows")
    subjects = {"a": "s2", "b": "s3", "c": "s4", "d": "s5"}  # b is a copy of what is evaluated
    subjects["t"] = "s1"
    manifest(tmp_path, *[(n, subjects[n], "train", False, None) for n in "abcdt"])
    vectors.append(("t", None, np.ones(4), False))
    descriptors(tmp_path, "vector", vectors)
    target = {
        "target.manifest": tmp_path / "cohort" / "manifest.parquet",
        "target.descriptors": tmp_path / "cohort_rows",
        "selector.fraction": 1.0,
        "selector.stop_ratio": "null",
    }
    assert select(tmp_path, "simcore", **target) == 0
    reasons = {case: row["reason"] for (case, _), row in audit(tmp_path).items()}
    assert reasons == {
        "a": "evaluated", "b": "evaluated", "c": "kept", "d": "kept", "t": "in_target"
    }  # fmt: skip
    assert "".join(left(tmp_path)) == "cdt"
    # Matched counts count the target's rows.
    for number, kept in ((2, "t"), (3, "cdt")):
        keep_all = {"selector": f"{{name: uniform, budget: {number}}}", "keep_labeled": False}
        assert select(tmp_path, "all", **keep_all, output=tmp_path / "arm") == 0
        assert select(tmp_path, "simcore", **target, as_many_as=tmp_path / "arm") == 0
        assert len(left(tmp_path)) == number
        assert set(kept) <= set(left(tmp_path))
    assert (
        select(tmp_path, "all", selector="{name: uniform, budget: 1}", output=tmp_path / "arm") == 0
    )
    assert select(tmp_path, "simcore", **target, as_many_as=tmp_path / "arm") == 2
    said = "1 of 3 rows are to be kept, but 1 are in any case (1 of the target cohort), which"
    assert said in capsys.readouterr().err
    card = json.loads((tmp_path / "cohort_rows" / "card.json").read_text())
    other = json.dumps(card | {"weights": "others"})
    (tmp_path / "cohort_rows" / "card.json").write_text(other)
    assert select(tmp_path, "simcore", **target) == 2
    assert "differ in their weights (others, None); describe both" in capsys.readouterr().err
    assert select(tmp_path, "simcore", target="null") == 2
    assert "simcore needs the vectors of a target cohort" in capsys.readouterr().err


def test_a_target_may_be_some_cases_of_the_manifest(tmp_path, capsys):
    manifest(tmp_path, *[(n, n, "train", False, None) for n in "abcd"])
    path = tmp_path / "cache" / "manifest.parquet"
    cases = [asdict(case) for case in read_manifest(path)]
    for case, size in zip(cases, (3, 8, 12, 13), strict=True):
        case["attributes"] = {"size": str(size)}
    write_manifest(Manifest.of(Case(**case) for case in cases), path)
    vectors = zip("abcd", [[1, 0], [0, 1], [0, 1], [1, 9]], strict=True)
    descriptors(tmp_path, "vector", [(n, None, v, False) for n, v in vectors])
    target = {
        "target.manifest": path,
        "target.descriptors": tmp_path / "rows",
        "target.within": "{attribute: size, low: 8, high: 12}",
        "selector.budget": 1,
    }
    assert select(tmp_path, "simcore", **target) == 0
    reasons = {case: row["reason"] for (case, _), row in audit(tmp_path).items()}
    assert reasons == {"a": "represented", "b": "in_target", "c": "in_target", "d": "kept"}
    target["target.within"] = "{attribute: size, low: 20, high: 30}"
    assert select(tmp_path, "simcore", **target) == 2
    assert "no train case" in capsys.readouterr().err


def test_quotas_are_of_a_column_and_what_is_left_of_each_is_told(tmp_path, capsys):
    two_subjects(tmp_path)
    path = tmp_path / "cache" / "manifest.parquet"
    cases = [asdict(case) for case in read_manifest(path)]
    for case, site in zip(cases, "xxxy", strict=True):
        case["site"] = site
    write_manifest(Manifest.of(Case(**case) for case in cases), path)
    quotas = {"selector.budget": 2, "selector.selector": "{name: uniform}"}
    assert select(tmp_path, "quotas", **quotas) == 0
    assert "d" in left(tmp_path)
    assert len(left(tmp_path)) == 2
    told = pq.read_table(tmp_path / "small" / "kept_by.parquet").to_pylist()
    assert [(row["value"], row["rows"], row["kept_rows"]) for row in told] == [
        ("x", 3, 1),
        ("y", 1, 1),
    ]
    assert (tmp_path / "small" / "figures" / "kept_by.png").is_file()
    assert select(tmp_path, "quotas", **quotas, stratify_by="scanner") == 2
    assert "no case of the manifest has a scanner" in capsys.readouterr().err


def test_dropped_rows_are_shown_beside_what_stands_for_them(tmp_path):
    slices_of_three_cases(tmp_path)
    rng = np.random.default_rng(0)
    for name in "ab":
        write_cached(
            tmp_path / "cache" / "volumes" / f"{name}.b2nd",
            Volume(rng.integers(0, 1000, size=(1, 8, 8, SLICES)).astype(np.int16), np.eye(4)),
            intensity=Intensity(0.0, 1e-3, 0.0, 1.0),
            source_affine=np.eye(4),
            source_shape=(8, 8, SLICES),
            key=name,
        )
    assert select(tmp_path, num_examples=2) == 0
    sheet = tmp_path / "small" / "figures" / "dropped.png"
    assert sheet.is_file()
    # With nothing dropped there is nothing to show, and no sheet of before is left.
    assert select(tmp_path, "all", num_examples=2) == 0
    assert not sheet.exists()


def test_rows_that_are_all_blank_are_refused(tmp_path, capsys):
    two_subjects(tmp_path, blank="abcd")
    assert select(tmp_path) == 2
    assert "none of 4 rows can be chosen: 4 are blank" in capsys.readouterr().err


def test_a_manifest_without_train_cases_is_refused(tmp_path, capsys):
    two_subjects(tmp_path)
    manifest(tmp_path, ("a", "s", "test", False, None))
    assert select(tmp_path) == 2
    assert "no case has split 'train'" in capsys.readouterr().err


PLACES = (0, 1, 3, 6, 10, 15, 21, 28, 36, 45)  # of ten hashes: apart by as many bits as these
LABELED = (0, 1, 6, 9)  # the second of which is within a bit of the first


def ten_volumes(root, blank=(), labeled=LABELED):
    """Volumes of one subject, n0 to n9."""
    names = [f"n{number}" for number in range(10)]
    manifest(root, *[(n, "s", "train", k in labeled, None) for k, n in enumerate(names)])
    rows = zip(names, PLACES, strict=True)
    descriptors(
        root, "hash", [(n, None, (1 << p) - 1, k in blank) for k, (n, p) in enumerate(rows)]
    )


@pytest.mark.parametrize(
    ("config", "keys"),
    [
        ("uniform", {"selector.budget": 6}),
        ("uniform", {"selector.fraction": 0.6}),
        ("calibrated", {"selector.fraction": 0.6}),
        ("calibrated", {"selector": "{name: calibrated, budget: 6, selector: {name: uniform}}"}),
        ("near_duplicates", {"as_many_as": "arm"}),
        ("uniform", {"as_many_as": "arm"}),
    ],
)
@pytest.mark.parametrize("blank", [(), (1,)])
def test_labeled_cases_count_among_those_that_are_to_be_kept(tmp_path, capsys, config, keys, blank):
    ten_volumes(tmp_path)
    if "as_many_as" in keys:
        keys = {"as_many_as": tmp_path / "arm"}
        random = {"selector.budget": 6, "keep_labeled": False, "output": tmp_path / "arm"}
        assert select(tmp_path, "uniform", **random) == 0
    ten_volumes(tmp_path, blank)
    assert select(tmp_path, config, **keys) == 0
    assert len(left(tmp_path)) == 6
    assert {f"n{number}" for number in LABELED} < left(tmp_path).keys()
    reasons = [row["reason"] for row in audit(tmp_path).values()]
    assert (reasons.count("labeled"), reasons.count("kept")) == (4, 2)
    if config != "uniform" or "as_many_as" in keys:
        assert "missed_rows 0" in capsys.readouterr().out


@pytest.mark.parametrize("keys", [{"selector.budget": 4}, {"selector.fraction": 0.3}])
def test_a_number_that_labeled_cases_alone_make_up_is_refused(tmp_path, capsys, keys):
    ten_volumes(tmp_path)
    assert select(tmp_path, "uniform", **keys) == 2
    said = r"[34] of 10 rows are to be kept, but 4 are in any case \(4 labeled\), which leaves none"
    assert re.search(said, capsys.readouterr().err)


def test_slices_that_nobody_described_are_not_passed_over(tmp_path, capsys):
    cases = ("a", "s", "train", False, [0, 1]), ("b", "s", "train", False, None)
    manifest(tmp_path, *cases)
    for described, said in (
        ((1, 2), "lacks slices of 2 of 2 cases, such as 1 of the 2 that case a takes part with"),
        ((0, 1, 2), "lacks slices of 1 of 2 cases, such as 1 of the 4 that case b takes part with"),
    ):
        rows = [(name, k, 2 ** (9 * k) - 1, False) for name in "ab" for k in described]
        descriptors(tmp_path, "hash", rows)
        assert select(tmp_path) == 2
        assert f"{said}; run `medssl embed` on this manifest" in capsys.readouterr().err
    assert not (tmp_path / "small").exists()


def archive_and_cohort(root):
    """In `outputs`, two cases, and one of a subject whom the cohort of one case is tested on."""
    out, cohort = root / "outputs", root / "outputs" / "cohort"
    cohort.mkdir(parents=True)
    archive = ("a", "s1", False), ("b", "s2", False), ("e", "s3", True)
    manifest(out, *[(name, subject, "train", has, None) for name, subject, has in archive])
    manifest(cohort, ("t", "s4", "train", False, None), ("v", "s3", "test", True, None))
    words = [0, 1, 2**20 - 1, 2**40 - 1]  # of which the second is like the first
    places = [(name, k) for name in "abe" for k in range(SLICES)]
    descriptors(out, "hash", [(name, k, words[k], False) for name, k in places], "dhash")
    turned = {"a": 0.0, "b": 0.05, "e": 0.0}  # away from where the cohort points
    vectors = [(name, k, [1.0, turned[name] + k / 10], False) for name, k in places]
    descriptors(out, "vector", vectors, "slice_vectors")
    wanted = [(name, k, [1.0, 0.0], False) for name in "tv" for k in range(SLICES)]
    descriptors(cohort, "vector", wanted, "slice_vectors")


def test_slices_are_reduced_and_then_those_like_a_cohort_are_chosen(tmp_path, monkeypatch):
    config = Path("configs/select/reduce_then_simcore.yaml").resolve()
    archive_and_cohort(tmp_path)
    monkeypatch.chdir(tmp_path)
    assert main(["select", str(config), "--set", "num_examples=0"]) == 0
    out = tmp_path / "outputs" / "reduce_then_simcore"
    cases = read_manifest(out / "manifest.parquet")
    # Three of the six that the hash leaves, those at the smallest angles.
    assert {case.case_id: case.slices for case in cases} == {"a": [0, 2], "b": [0]}
    rows = pq.read_table(out / "audit.parquet").to_pylist()
    assert [row["reason"] for row in rows if row["case_id"] == "e"] == ["evaluated"] * SLICES
    first = [row for row in rows if row["step"] == 0 and row["reason"] == "represented"]
    assert [(row["slice"], row["stands_for_case"]) for row in first] == [(1, "a"), (1, "b")]


@pytest.mark.parametrize(
    ("then", "said"),
    [
        ("[]", r"slice_vectors and \S*dhash differ in their descriptor \(.*vector.*, .*hash.*\)"),
        (
            "[{selector: {name: k_center}, descriptors: outputs/slice_vectors}, "
            "{selector: {name: simcore}, descriptors: outputs/others}]",
            "its descriptors to what describes it as the rows of this step are",
        ),
    ],
)
def test_a_cohort_that_is_described_otherwise_is_told(tmp_path, monkeypatch, capsys, then, said):
    config = Path("configs/select/reduce_then_simcore.yaml").resolve()
    archive_and_cohort(tmp_path)
    monkeypatch.chdir(tmp_path)
    rows = [(name, k, [1.0, k], False) for name in "abe" for k in range(SLICES)]
    descriptors(tmp_path / "outputs", "vector", rows, "others")
    card = tmp_path / "outputs" / "others" / "card.json"
    card.write_text(json.dumps(json.loads(card.read_text()) | {"weights": "others"}))
    assert main(["select", str(config), "--set", "num_examples=0", "--set", f"then={then}"]) == 2
    assert re.search(said, capsys.readouterr().err)


def with_properties(root):
    """Give the cases of two subjects ages and grades; d says neither."""
    path = root / "cache" / "manifest.parquet"
    cases = [asdict(case) for case in read_manifest(path)]
    for case, age, grade in zip(cases, (70.0, 70.0, 41.5, None), ("1", "1", "2", ""), strict=True):
        case |= {"age_years": age, "attributes": {"grade": grade}}
    write_manifest(Manifest.of(Case(**case) for case in cases), path)


@pytest.mark.parametrize(
    ("by", "names"),
    [
        ("subject_id", "stu"),
        ("age_years", ("70", "41.5", "unknown")),
        ("grade", ("1", "2", "unknown")),
        ("attributes.grade", ("1", "2", "unknown")),
    ],
)
def test_quotas_are_of_any_column_or_attribute(tmp_path, by, names):
    two_subjects(tmp_path)
    with_properties(tmp_path)
    quotas = {"stratify_by": by, "selector.selector": "{name: uniform}", "selector.budget": 3}
    assert select(tmp_path, "quotas", **quotas) == 0
    assert left(tmp_path).keys() > {"c", "d"}
    shares = json.dumps(dict(zip(names, (1, 0, 1), strict=True)))
    assert select(tmp_path, "quotas", **quotas, **{"selector.shares": shares}) == 0
    assert left(tmp_path).keys() == {"a", "b", "d"}


@pytest.mark.parametrize("by", ["grde", "shape", "attributes.site"])
def test_quotas_of_what_the_manifest_does_not_say_are_refused(tmp_path, capsys, by):
    two_subjects(tmp_path)
    with_properties(tmp_path)
    assert select(tmp_path, "quotas", stratify_by=by, **{"selector.selector.name": "uniform"}) == 2
    said = rf"no attribute, '{by}'; .* columns \['case_id', .*\] and the attributes \['grade'\]"
    assert re.search(said, capsys.readouterr().err)


def test_the_order_says_which_of_near_duplicates_is_kept(tmp_path):
    names = [f"c{number:02}" for number in range(12)]
    manifest(tmp_path, *[(name, "s", "train", False, None) for name in names])
    descriptors(tmp_path, "hash", [(n, None, (1 << k) - 1, False) for k, n in enumerate(names)])
    kept_by_seed = []
    for seed in (None, 0, 1):
        random = {} if seed is None else {"order": "random", "seed": seed}
        assert select(tmp_path, **random) == 0
        rank = np.arange(12) if seed is None else np.random.default_rng(seed).permutation(12)
        kept = []
        for row in np.argsort(rank):
            if all(abs(row - other) > 6 for other in kept):
                kept.append(row)
        assert list(left(tmp_path)) == [names[row] for row in sorted(kept)]
        kept_by_seed.append(tuple(left(tmp_path)))
    assert len(set(kept_by_seed)) == 3


def test_labeled_cases_come_first_in_a_random_order_too(tmp_path):
    for seed in (0, 1):
        two_subjects(tmp_path, labeled="b")
        assert select(tmp_path, within="all", order="random", seed=seed) == 0
        assert "".join(left(tmp_path)) == "bd"


def test_as_many_as_another_selection_is_of_the_same_rows(tmp_path, capsys):
    slices_of_three_cases(tmp_path)
    assert select(tmp_path) == 0
    matched = {"as_many_as": tmp_path / "small", "output": tmp_path / "matched"}
    vectors = [("a", None, [1.0, 0.0], False), ("b", None, [1.0, 0.1], False)]
    descriptors(tmp_path, "vector", vectors, folder="vectors")
    volumes = {"descriptors": tmp_path / "vectors", **matched}
    assert select(tmp_path, "k_center", **volumes) == 2
    assert "kept slices in the end, this selection keeps volumes" in capsys.readouterr().err
    path = tmp_path / "cache" / "manifest.parquet"
    cases = [asdict(case) for case in read_manifest(path)]
    for number, change, said in (
        (1, {"slices": [1]}, "selection from 6 slices, this manifest has 5 in its train split"),
        (1, {"image_uri": "z.b2nd"}, "1 cases have another image there, such as b; give"),
        (2, {"case_id": "z"}, "2 cases are in one of the two alone, such as c, in that; give"),
    ):
        changed = [case | (change if k == number else {}) for k, case in enumerate(cases)]
        write_manifest(Manifest.of(Case(**case) for case in changed), path)
        assert select(tmp_path, "uniform", **matched) == 2
        assert said in capsys.readouterr().err
    (tmp_path / "small" / "manifest.parquet").unlink()
    assert select(tmp_path, "uniform", **matched) == 2
    assert "small holds no selection (no manifest.parquet)" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("selector", "kind", "values", "end"),
    [
        ("near_duplicates", "hash", [0, 1, 2**40 - 1], ("represented", "c", 1 - 2 / 64)),
        ("entropy_filter", "content", [[5, 1], [0, 1], [5, 1]], ("orphaned", None, None)),
    ],
)
def test_what_stands_for_a_row_is_followed_to_what_is_left(tmp_path, selector, kind, values, end):
    subjects = {"c": "t", "a": "s", "b": "s", "d": "u"}
    manifest(tmp_path, *[(name, subjects[name], "train", False, None) for name in subjects])
    words = {"c": 1, "a": 0, "b": 3, "d": 2**40 - 1}
    descriptors(tmp_path, "hash", [(name, None, words[name], False) for name in words])
    again = [(name, None, value, False) for name, value in zip("cad", values, strict=True)]
    descriptors(tmp_path, kind, again, folder="again")
    then = {"selector": {"name": selector}, "within": "all", "descriptors": f"{tmp_path}/again"}
    assert select(tmp_path, then=json.dumps([then])) == 0
    assert list(left(tmp_path)) == ["c", "d"]
    log = pq.read_table(tmp_path / "small" / "audit.parquet").to_pylist()
    (row,) = [row for row in log if row["case_id"] == "b"]
    assert (row["reason"], row["stands_for_case"], row["similarity"]) == end
    assert (row["kept"], row["step"]) == (False, 0)


def test_a_volume_whose_slices_are_all_blank_keeps_none(tmp_path):
    manifest(tmp_path, ("a", "s", "train", False, None), ("b", "s", "train", False, None))
    rows = [(name, k, k, name == "a") for name in "ab" for k in range(SLICES)]
    descriptors(tmp_path, "hash", rows)
    assert select(tmp_path, "every_n", **{"selector.n": 2}) == 0
    assert left(tmp_path) == {"b": [0, 2]}
