"""Near copies in two splits: told by hashes of volumes, refused by who learns and who scores."""

import numpy as np
import pyarrow as pa
import pytest

from medssl.data.manifest import Case, Manifest
from medssl.errors import DataError
from medssl.models.export import HASH, check_unseen, seen_cases, write_export
from pipelines._copies import check_splits

WORDS = 24


def hashes(number):
    return np.random.default_rng(0).integers(2**64, size=(number, WORDS), dtype=np.uint64)


def flipped(one, bits):
    """The same hash but for so many bits."""
    places = np.random.default_rng(1).permutation(64 * WORDS)[:bits]
    other = np.unpackbits(one.view(np.uint8))
    other[places] ^= 1
    return np.packbits(other).view(np.uint64)


def cases(splits, hashed):
    rows = [
        Case(
            case_id=f"c{number}", digest=f"d{number}", subject_id=f"s{number}",
            image_uri=f"{number}.b2nd", shape=[4, 4, 4], spacing_mm=[1.0] * 3, split=split,
        )
        for number, split in enumerate(splits)
    ]  # fmt: skip
    table = Manifest.of(rows).table
    return table.append_column(HASH, pa.array([one.tobytes() for one in hashed]))


@pytest.mark.parametrize(("bits", "is_copy"), [(0, True), (144, True), (145, False)])
@pytest.mark.parametrize("splits", [("train", "test"), ("val", "train"), ("val", "test")])
def test_a_copy_in_another_split_is_refused(splits, bits, is_copy):
    told = hashes(3)
    told[2] = flipped(told[0], bits)
    table = cases((splits[0], "train", splits[1]), told)
    if not is_copy:
        check_splits(table)
        return
    with pytest.raises(DataError, match=rf"1 cases stand in two splits .* c.*, {bits} bits apart"):
        check_splits(table)


def test_copies_in_one_split_are_left_to_selection():
    told = hashes(3)
    told[1] = told[0]
    check_splits(cases(("train", "train", "test"), told))


def test_a_manifest_without_hashes_is_not_looked_through():
    told = hashes(2)
    told[1] = told[0]
    check_splits(cases(("train", "test"), told).drop_columns([HASH]))


def test_what_an_export_was_trained_on_is_not_evaluated_as_a_copy(tmp_path):
    told = hashes(4)
    told[3] = flipped(told[0], 100)
    table = cases(("train", "train", "test", "test"), told)
    first, second = tmp_path / "first", tmp_path / "second"
    write_export(first, {}, {}, subjects=seen_cases(table.slice(0, 1)))
    # What came before is known still, also where hashes were not given then.
    later = table.slice(1, 1).drop_columns([HASH])
    write_export(second, {}, {}, subjects=seen_cases(later, [first]))
    for export in (first, second):
        check_unseen(export, table.slice(2, 1))
        check_unseen(export, table.slice(3, 1).drop_columns([HASH]))
        with pytest.raises(DataError, match=r"1 of 2 cases to evaluate are near copies .*c3 \(100"):
            check_unseen(export, table.slice(2, 2))
