"""The contact sheet: the pairs that are least and most alike, each seen as it is cached."""

import numpy as np
import pyarrow as pa
import pytest
from selections import audit, select, write_cases, write_rows, write_voxels

from medssl.data.manifest import read_manifest
from pipelines import _contact_sheet
from pipelines._contact_sheet import Pair, Place, pairs_to_show, picture, sheet

SHAPE = (5, 7, 4)


def log(*similarities, reasons=None):
    """An audit of slices of a case, each with the slice 100 further on in its place."""
    count = len(similarities)
    return pa.table(
        {
            "case_id": ["a"] * count,
            "slice": pa.array(range(count), pa.int32()),
            "stands_for_case": ["b"] * count,
            "stands_for_slice": pa.array(range(100, 100 + count), pa.int32()),
            "similarity": pa.array(similarities, pa.float64()),
            "reason": reasons or ["represented"] * count,
        }
    )


def slices(pairs):
    return [pair.dropped.slice for pair in pairs]


def test_the_least_and_the_most_alike_are_shown_with_what_stands_for_them():
    least, most, total = pairs_to_show(log(0.5, 0.9, 0.2, 0.7, 0.8, 0.3), 2)
    assert (slices(least), slices(most), total) == ([2, 5], [4, 1], 6)
    assert least[0] == Pair(Place("a", 2), Place("b", 102), 0.2)
    assert most[-1] == Pair(Place("a", 1), Place("b", 101), 0.9)


@pytest.mark.parametrize(
    ("number", "least", "most"),
    [(0, [], []), (2, [2, 0], [1]), (3, [2, 0, 1], []), (9, [2, 0, 1], [])],
)
def test_no_pair_is_shown_twice(number, least, most):
    found = pairs_to_show(log(0.5, 0.9, 0.2), number)
    assert (slices(found[0]), slices(found[1])) == (least, most)


def test_of_equally_alike_pairs_the_first_in_order_is_less_alike():
    least, most, _ = pairs_to_show(log(0.5, 0.5, 0.5, 0.5), 1)
    assert (slices(least), slices(most)) == ([0], [3])


def test_rows_that_nothing_stands_for_are_not_shown():
    reasons = ["kept", "represented", "blank", "filtered", "represented"]
    least, most, total = pairs_to_show(log(1.0, 0.4, None, None, 0.6, reasons=reasons), 1)
    assert (slices(least), slices(most), total) == ([1], [4], 2)


@pytest.fixture
def cached(tmp_path):
    """Two cases in whose every voxel there is another number."""
    write_cases(tmp_path, {"case_id": "a"}, {"case_id": "b"}, shape=SHAPE)
    for number, name in enumerate("ab"):
        voxels = np.arange(np.prod(SHAPE)).reshape(SHAPE) + 200 * number
        write_voxels(tmp_path, name, voxels)
    return tmp_path


def expected(case, k):
    """Return what is seen of a slice: each row of the picture is further back than the one above.

    Voxel (i, j, k) holds the thousandth (28 i + 4 j + k), and 200 more in the second case.
    """
    return [
        [pytest.approx((28 * i + 4 * j + k + 200 * (case == "b")) / 1000) for i in range(5)]
        for j in range(6, -1, -1)
    ]


@pytest.mark.parametrize(("row", "case"), [(0, "a"), (1, "b")])
@pytest.mark.parametrize(("k", "shown"), [(0, 0), (1, 1), (3, 3), (None, 2)])
def test_a_picture_is_the_slice_as_it_is_cached_or_the_middle_one(cached, row, case, k, shown):
    manifest = read_manifest(cached / "cache/manifest.parquet")
    found = picture(manifest, cached / "cache", row, k)
    assert found.tolist() == expected(case, shown)


def test_each_pair_is_a_column_with_what_was_dropped_above(cached):
    manifest = read_manifest(cached / "cache/manifest.parquet")
    pairs = [
        Pair(Place("b", 3), Place("a", 1), 0.25),
        Pair(Place("a", 0), Place("b", None), 0.75),
    ]
    axes = sheet(pairs, manifest, cached / "cache").axes
    shown = [one.images[0].get_array().tolist() for one in axes]
    places = [("b", 3), ("a", 0), ("a", 1), ("b", 2)]  # line by line
    assert shown == [expected(*place) for place in places]
    titles = ["b\nslice 3", "a\nslice 0", "a\nslice 1", "b"]
    assert [one.get_title() for one in axes] == titles
    assert [one.get_xlabel() for one in axes] == ["", "", "0.250", "0.750"]


def test_the_stage_draws_the_pairs_that_its_audit_names(cached, monkeypatch):
    """Of two cases of one subject; hashes differ in ever more bits from the first."""
    drawn = []

    def noted(pairs, *rest):
        drawn.extend(pairs)
        return sheet(pairs, *rest)

    monkeypatch.setattr(_contact_sheet, "sheet", noted)
    cases = [{"case_id": name, "subject_id": "s"} for name in "ab"]
    write_cases(cached, *cases, shape=SHAPE)
    bits = {"a": [0, 1, 5, 3], "b": [2, 4, 6, 40]}
    rows = [(n, range(4), [[2**b - 1] for b in bits[n]], [False] * 4) for n in "ab"]
    write_rows(cached, "hash", *rows)
    assert select(cached, num_examples=1) == 0
    assert (cached / "small" / "figures" / "dropped.png").stat().st_size > 1000
    first = Place("a", 0)
    assert drawn == [Pair(Place("b", 2), first, 1 - 6 / 64), Pair(Place("a", 1), first, 1 - 1 / 64)]
    dropped = [row for row in audit(cached) if row["reason"] == "represented"]
    assert len(dropped) == 6
