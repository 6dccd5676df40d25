import csv
import hashlib
from dataclasses import asdict, replace

import pyarrow.parquet as pq
import pytest


def content(folder):
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.fixture
def tiny(recipe):
    return replace(recipe, num_subjects=2, spacing_mm=(20.0, 22.0))


@pytest.mark.slow
def test_one_seed_makes_one_archive_and_another_seed_another(tmp_path, tiny, write_archive):
    one, same, other = (
        content(write_archive(tmp_path / name, replace(tiny, seed=seed)).folder)
        for name, seed in (("one", 3), ("same", 3), ("other", 4))
    )
    assert one == same
    # Nothing but names without an identity and a content that is nobody's own may be alike.
    shared = set(one.items()) & set(other.items())
    assert shared == set()


def test_more_subjects_change_no_file_of_the_others(tmp_path, tiny, write_archive):
    few = write_archive(tmp_path / "few", tiny)
    more = write_archive(tmp_path / "more", replace(tiny, num_subjects=3))
    wanted = {truth.series_uid for truth in few.of("original")}
    for truth in (t for t in more.of("original") if t.series_uid in wanted):
        pairs = zip(few.files(truth), more.files(truth), strict=True)
        for ours, theirs in pairs:
            with open(ours, "rb") as a, open(theirs, "rb") as b:  # noqa: PTH123 GDCM gives strings
                assert a.read() == b.read()
    assert len(wanted) == len([t for t in more.of("original") if t.series_uid in wanted])


def test_the_truth_on_disk_is_the_truth(archive):
    rows = pq.read_table(archive.folder / "truth.parquet").to_pylist()
    assert rows == [asdict(truth) for truth in archive.truths]


def test_files_are_counted_right(archive):
    places = [archive.root, archive.root.with_name("incoming")]
    assert sum(truth.num_files for truth in archive.truths) == sum(
        path.is_file() for place in places for path in place.rglob("*")
    )


def test_one_further_subject_comes_in_from_outside_the_archive(archive):
    (incoming,) = archive.of("incoming")
    assert incoming.subject not in {t.subject for t in archive.truths if t.role != "incoming"}
    files = [p for p in archive.root.with_name("incoming").rglob("*") if p.is_file()]
    assert len(files) == incoming.num_files == incoming.shape[2]
    assert not incoming.is_labeled


def test_the_table_of_labels_lists_the_originals(archive):
    with (archive.folder / "private/labels/labels.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["series_uid"] for row in rows] == [t.series_uid for t in archive.of("original")]
    assert all((archive.folder / "private/labels" / row["label"]).is_file() for row in rows)


def test_the_key_is_32_bytes_for_the_owner_alone(archive):
    key = archive.folder / "private/key"
    assert len(key.read_bytes()) == 32
    assert key.stat().st_mode & 0o777 == 0o600
