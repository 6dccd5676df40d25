"""What `index` says of folders that it may not read or write: one line, and no name."""

import errno
import os
import runpy
from pathlib import Path
from types import SimpleNamespace

import pyarrow.parquet as pq
import pytest
import yaml

from pipelines.__main__ import main

NAME = "Kowalczykson_PX844"


@pytest.fixture(scope="module")
def dicom():
    return SimpleNamespace(**runpy.run_path(str(Path(__file__).parents[1] / "dicom_series.py")))


@pytest.fixture
def root(tmp_path, dicom):
    """An archive of two series in folders that name a patient, as its own does."""
    for series in "ab":
        tags = {"SeriesInstanceUID": f"1.{ord(series)}", "PatientID": series}
        dicom.write(tmp_path / NAME / f"{NAME}_{series}", **tags)
    return tmp_path / NAME


def index(tmp_path, source, **more):
    """Run the stage; return its status."""
    config = tmp_path / "index.yaml"
    asked = {"sources": [source], "output": str(tmp_path / "out")} | more
    config.write_text(yaml.safe_dump(asked))
    return main(["index", str(config)])


def test_a_folder_that_cannot_be_listed_is_counted_and_not_named(tmp_path, root, unlistable, capfd):
    unlistable(root / f"{NAME}_a")
    assert index(tmp_path, {"root": str(root)}) == 0
    printed, error = capfd.readouterr()
    assert NAME not in printed + error
    counted = [line.split() for line in printed.splitlines()]
    assert ["files", "8"] in counted
    assert ["refused:", "unlisted_folder", "1"] in counted
    verdicts = pq.read_table(tmp_path / "out" / "verdicts.parquet").to_pylist()
    (folder,) = (row for row in verdicts if row["status"] == "refused")
    assert "have its owner allow it and index again" in folder["sentence"]
    named = pq.read_table(tmp_path / "out" / "private" / "files.parquet").to_pylist()
    paths = {row["file_id"]: row["path"] for row in named}
    assert paths[folder["file_id"]] == str(root / f"{NAME}_a")


def test_once_it_can_be_listed_it_is_a_folder_as_any_other(tmp_path, root, unlistable):
    index(tmp_path, {"root": str(root)})
    whole = pq.read_table(tmp_path / "out" / "verdicts.parquet")
    unlistable(root / f"{NAME}_a")
    index(tmp_path, {"root": str(root)})
    assert pq.read_table(tmp_path / "out" / "verdicts.parquet") != whole
    unlistable(root / f"{NAME}_a", is_closed=False)
    index(tmp_path, {"root": str(root)})
    assert pq.read_table(tmp_path / "out" / "verdicts.parquet") == whole


@pytest.mark.parametrize(
    ("key", "source"),
    [
        ("sources.0.root", {"root": "{0}/closed"}),
        ("sources.0.labels.folder", {"root": "{0}", "labels": {"folder": "{0}/labels"}}),
        ("sources.0.root", {"root": "{0}/absent"}),
    ],
)
def test_a_config_whose_folders_cannot_be_listed_is_told_which_key(
    tmp_path, root, unlistable, capfd, key, source
):
    for name in ("closed", "labels/closed"):
        (root / name).mkdir(parents=True)
        unlistable(root / name)
    text = yaml.safe_dump(source).replace("{0}", str(root))
    assert index(tmp_path, yaml.safe_load(text)) == 2
    printed, error = capfd.readouterr()
    assert error.startswith(f"medssl: {key}: ")
    assert len(error.splitlines()) == 1
    assert NAME not in printed + error


def a_file(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()


def a_folder(path):
    path.mkdir(parents=True)


@pytest.mark.parametrize(
    ("make", "place", "expected"),
    [
        (a_file, "up/out", "output: expected a folder or a place for one, got {out}: it is a file"),
        (a_file, "up", "got {out}: {up} is a file; name another one"),
        (a_file, "up/out/private", "output: expected to write {out}/private, got 'File exists'"),
        (a_folder, "up/out/private/looks.sqlite", "looks.sqlite: expected a file for notes, got"),
        (a_folder, "up/out/manifest.parquet", "got 'Is a directory'; make way there, or name"),
    ],
)
def test_what_is_in_the_way_of_the_output_is_said_in_one_line(
    tmp_path, root, capfd, make, place, expected
):
    up, out = tmp_path / "up", tmp_path / "up" / "out"
    make(tmp_path / place)
    assert index(tmp_path, {"root": str(root)}, output=str(out)) == 2
    _, error = capfd.readouterr()
    assert expected.format(up=up, out=out) in error
    assert len(error.splitlines()) == 1


def test_an_output_that_may_not_be_written_to_is_refused_at_once(
    tmp_path, root, capfd, monkeypatch
):
    # Asked for by its name: root may write everywhere.
    monkeypatch.setattr(os, "access", lambda path, _: path != tmp_path)
    monkeypatch.setattr("pipelines.index.run", pytest.fail)
    assert index(tmp_path, {"root": str(root)}) == 2
    _, error = capfd.readouterr()
    assert f"got {tmp_path / 'out'}: {tmp_path} may not be written to; name another" in error


def test_an_error_of_the_archive_is_not_taken_for_one_of_the_output(tmp_path, root, monkeypatch):
    def fail(_):
        raise PermissionError(errno.EACCES, "Permission denied", str(root))

    monkeypatch.setattr("pipelines.index.run", fail)
    with pytest.raises(PermissionError):
        index(tmp_path, {"root": str(root)})


@pytest.mark.parametrize("name", ["", "out", "deep/out"])
def test_an_output_within_a_source_is_refused_before_it_is_made(tmp_path, root, capfd, name):
    before = sorted(root.rglob("*"))
    link = tmp_path / "link"
    link.symlink_to(root)
    assert index(tmp_path, {"root": str(root)}, output=str(link / name)) == 2
    printed, error = capfd.readouterr()
    assert error.startswith("medssl: output: expected a folder outside of sources.0.root, whose")
    assert NAME not in printed + error
    assert sorted(root.rglob("*")) == before


def test_a_source_within_the_output_is_as_good_as_any_other(tmp_path, root):
    assert index(tmp_path, {"root": str(root)}, output=str(tmp_path)) == 0
    assert pq.read_table(tmp_path / "verdicts.parquet").num_rows == 14
    assert index(tmp_path, {"root": str(root)}, output=str(tmp_path)) == 0
    assert pq.read_table(tmp_path / "verdicts.parquet").num_rows == 14


def cache(tmp_path, output):
    """Prepare what is indexed; return the status."""
    wanted = [f"index={tmp_path / 'out'}", f"output={output}", "preprocessing={}"]
    return main(["cache", *(word for text in wanted for word in ("--set", text))])


def test_a_cache_whose_output_is_a_file_is_one_line_without_a_case(tmp_path, root, capfd):
    index(tmp_path, {"root": str(root)})
    a_file(tmp_path / "cached" / "volumes")
    capfd.readouterr()
    for output in ("cached", "cached/volumes"):
        assert cache(tmp_path, tmp_path / output) == 2
        _, error = capfd.readouterr()
        assert error.startswith("medssl: output: expected ")
        assert len(error.splitlines()) == 1
        assert "Case(" not in error


def test_a_cache_without_an_index_is_told_to_make_one(tmp_path, capfd):
    assert cache(tmp_path, tmp_path / "cached") == 2
    _, error = capfd.readouterr()
    path = tmp_path / "out" / "manifest.parquet"
    assert error.startswith(f"medssl: {path}: expected a manifest, there is no such file; first ")
    assert error.count(str(path)) == 1
    assert "`medssl index`" in error


def test_a_fault_in_the_work_on_a_volume_names_it_by_its_id(tmp_path, root, monkeypatch):
    def fail(unit):
        raise ZeroDivisionError

    monkeypatch.setattr("pipelines.index.measure_unit", fail)
    with pytest.raises(ZeroDivisionError) as raised:
        index(tmp_path, {"root": str(root)})
    (note,) = raised.value.__notes__
    assert NAME not in note
    table = pq.read_table(tmp_path / "out" / "private" / "files.parquet").to_pylist()
    assert note.split()[-1] in {row["file_id"] for row in table}
