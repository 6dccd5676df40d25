"""What `index` says of folders that it may not read or write: one line, and no name."""

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
    asked = {"sources": [source], "output": str(tmp_path / "out"), **more}
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
