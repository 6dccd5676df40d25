"""What stands for a dropped row once later steps dropped what stood for it."""

import pyarrow as pa
import pytest

from pipelines._stand_ins import in_the_end

SCHEMA = pa.schema(
    {
        "step": pa.int32(),
        "case_id": pa.string(),
        "slice": pa.int32(),
        "stands_for_case": pa.string(),
        "stands_for_slice": pa.int32(),
        "kept": pa.bool_(),
        "similarity": pa.float64(),
        "reason": pa.string(),
    }
)


def log(*rows):
    """An account of (step, row, what stands for it): `a` is a volume, `a1` its slice 1."""
    found = []
    for step, row, other in rows:
        case, place, to_case, to_place = *of(row), *of(other)
        kept = row == other
        reason = "kept" if kept else "represented" if other else "filtered"
        similarity = 1.0 if kept else 0.5 + step / 10 if other else None
        values = (step, case, place, to_case, to_place, kept, similarity, reason)
        found.append(dict(zip(SCHEMA.names, values, strict=True)))
    return pa.Table.from_pylist(found, SCHEMA)


def of(row):
    return (row[0], int(row[1:]) if row[1:] else None) if row else (None, None)


def ends(table):
    """Where each row's way ends; of those that something stands for, by step and row."""
    found = {}
    for row in table.to_pylist():
        name = row["case_id"] + ("" if row["slice"] is None else str(row["slice"]))
        place = row["stands_for_slice"]
        end = (row["stands_for_case"] or "") + ("" if place is None else str(place))
        found[row["step"], name] = end or row["reason"]
    return found


def test_one_step_is_left_as_it_is():
    table = log((0, "a", "a"), (0, "b", "a"), (0, "c", None))
    assert in_the_end(table) is table


def test_a_way_is_followed_to_what_is_kept_in_the_end():
    table = log(
        (0, "a", "a"), (0, "b", "a"), (0, "c", "c"), (0, "d", "d"),
        (1, "a", "c"), (1, "c", "c"), (1, "d", "d"),
        (2, "c", "d"), (2, "d", "d"),
    )  # fmt: skip
    followed = in_the_end(table)
    assert ends(followed) == {
        (0, "a"): "a", (0, "b"): "d", (0, "c"): "c", (0, "d"): "d",
        (1, "a"): "d", (1, "c"): "c", (1, "d"): "d",
        (2, "c"): "d", (2, "d"): "d",
    }  # fmt: skip
    assert followed.schema == table.schema
    # Similarities and reasons are those of the row's own step.
    for name in ("similarity", "reason", "kept", "case_id"):
        assert followed[name].to_pylist() == table[name].to_pylist()


def test_a_way_that_ends_at_what_was_dropped_for_what_it_is_ends_at_nobody():
    table = log((0, "a", "a"), (0, "b", "a"), (0, "c", "c"), (1, "a", None), (1, "c", "c"))
    followed = in_the_end(table)
    assert ends(followed)[0, "b"] == "orphaned"
    assert followed["similarity"].to_pylist() == [1.0, None, 1.0, None, 1.0]
    assert followed["reason"].to_pylist()[3] == "filtered"


def test_a_slice_goes_the_way_of_its_volume():
    table = log(
        (0, "a0", "a0"), (0, "a1", "a0"), (0, "b0", "b0"), (0, "b1", "b0"),
        (1, "a", "b"), (1, "b", "b"),
    )  # fmt: skip
    found = ends(in_the_end(table))
    assert (found[0, "a1"], found[0, "b1"]) == ("b", "b0")


@pytest.mark.parametrize(
    ("slices", "end"),
    [
        ([("b0", "b0"), ("b1", "c0")], "b"),
        ([("b0", "c0"), ("b1", "b1")], "b"),
        ([("b0", None), ("b1", "c2"), ("b2", "c0")], "c2"),
        ([("b0", None), ("b1", None)], "orphaned"),
    ],
)
def test_a_volume_stays_while_one_of_its_slices_does(slices, end):
    rest = [(1, row, row) for row in ("c0", "c2")]
    table = log(
        (0, "a", "b"), (0, "b", "b"), (0, "c", "c"), *((1, *pair) for pair in slices), *rest
    )
    assert ends(in_the_end(table))[0, "a"] == end
