"""`medssl index` on archives in which hostile files lie among good ones."""

import hashlib
import os
import runpy
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml
from hostile import harmless, mutations
from hostile.bases import dicom_files

from medssl.data.manifest import read_manifest
from medssl.data.source import Source
from medssl.data.volume import digest
from pipelines.__main__ import main

NO_TEXT = os.fsdecode(b"J\xf6rg_100%\n\xff")  # as old disks have them


@pytest.fixture(scope="module")
def dicom():
    return SimpleNamespace(**runpy.run_path(str(Path(__file__).parents[1] / "dicom_series.py")))


def index(archive, output, **more):
    """Run the stage as a user does, and return what it wrote."""
    config = output.with_suffix(".yaml")
    sources = [{"root": str(archive)}]
    config.write_text(yaml.safe_dump({"sources": sources, "output": str(output), **more}))
    done = subprocess.run(
        [sys.executable, "-m", "pipelines", "index", str(config)],
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    verdicts = pq.read_table(output / "verdicts.parquet").to_pylist()
    return list(read_manifest(output / "manifest.parquet")), verdicts, done


def everything(root, *, without=None):
    """What lies below a folder, but for one of its folders: names, and content or target."""
    found = {}
    for folder, inner, names in os.walk(root):
        inner[:] = [name for name in inner if Path(folder) / name != without]
        for path in [Path(folder) / name for name in (*inner, *names)]:
            if path.is_symlink():
                found[path] = path.readlink()
            elif path.is_file():
                found[path] = hashlib.sha256(path.read_bytes()).hexdigest()
            else:
                found[path] = path.stat().st_mode
    return found


def series(archive, dicom, number):
    """Write good series, each in other voxels, and return these."""
    written = []
    for k in range(number):
        written.append(dicom.VOXELS + 300 * k)
        dicom.write(archive / f"good{k}", written[-1], SeriesInstanceUID=f"1.2.77.{k}")
    return written


def voxels_of(cases, output):
    """The voxels of cases of several slices."""
    source = Source(output)
    return [source.image(case).voxels[0] for case in cases if case.shape == [6, 5, 7]]


def are_there(written, found):
    return all(any(np.array_equal(one, other) for other in found) for one in written)


def test_what_leads_elsewhere_neither_stops_the_walk_nor_is_written_to(tmp_path, dicom):
    archive, output, outside = (tmp_path / name for name in ("in", "out", "outside"))
    written = series(archive, dicom, 2)
    (archive / "good1").rename(archive / NO_TEXT)
    dicom.write(outside / "far", SeriesInstanceUID="1.2.88")
    (outside / "victim").write_text("as it was")
    traps = {
        "self": "self", "loop": ".", "up": "..", "gone.dcm": "nowhere", "folder.nii": str(outside),
        "zero.dcm": "/dev/zero", "zero.nii.gz": "/dev/zero", "zero.mha": "/dev/zero",
    }  # fmt: skip
    for name, target in traps.items():
        (archive / name).symlink_to(target)
    pipes = ["pipe", "pipe.dcm", "pipe.nii", "pipe.nrrd", "pipe.mhd"]
    for name in pipes:
        os.mkfifo(archive / name)
    header = "ObjectType = Image\nNDims = 3\nDimSize = 4 4 4\nElementType = MET_UCHAR\n"
    for name, target in {"up.mhd": "../outside/victim", "zero.mhd": "/dev/zero"}.items():
        (archive / name).write_text(f"{header}ElementDataFile = {target}\n")
    output.mkdir()
    for name in (".verdicts.parquet.part", ".manifest.parquet.part", "verdicts.parquet"):
        (output / name).symlink_to(outside / "victim")
    before = everything(tmp_path, without=output)
    cases, verdicts, done = index(archive, output)
    assert everything(tmp_path, without=output) | {} == before | {
        output.with_suffix(".yaml"): everything(tmp_path)[output.with_suffix(".yaml")]
    }
    assert len(verdicts) == 14 + len(traps) + len(pipes) + 2
    accepted = [row for row in verdicts if row["status"] == "accepted"]
    assert len(accepted) == 14
    assert len(cases) == 2
    assert are_there(written, voxels_of(cases, output))
    assert "victim" not in done.stdout + done.stderr


def test_a_private_folder_that_leads_elsewhere_is_refused(tmp_path, dicom, capsys):
    dicom.write(tmp_path / "in")
    (tmp_path / "outside").mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "private").symlink_to(tmp_path / "outside")
    config = tmp_path / "index.yaml"
    sources = [{"root": str(tmp_path / "in")}]
    config.write_text(yaml.safe_dump({"sources": sources, "output": str(tmp_path / "out")}))
    assert main(["index", str(config)]) == 2
    assert "private is a link" in capsys.readouterr().err
    assert not list((tmp_path / "outside").iterdir())


def hostile_archive(archive, dicom, seeds):
    """Write mutations of single files and of slices of series among good series.

    Returns:
        The voxels of the good series, and the files of the series with harmless changes.
    """
    written = series(archive, dicom, 3)
    for base in dicom_files(archive.with_name("bases"), dicom):
        for family in mutations.FAMILIES:
            for seed in seeds:
                content = mutations.mutate(family, base.read_bytes(), seed)
                # Beside good slices, and under names that say nothing or something else.
                name = f"good{seed % 3}/{base.stem}-{family}-{seed}"
                (archive / (name + [".dcm", "", ".txt"][seed % 3])).write_bytes(content)
    for number, family in enumerate(harmless.FAMILIES):
        folder = archive / "harmless" / family
        voxels = dicom.VOXELS + 1000 + 300 * number
        files = dicom.write(folder, voxels, SeriesInstanceUID=f"1.2.99.{number}")
        changed = files[number % 7]
        content = changed.read_bytes()
        changed.write_bytes(harmless.change(family, content, 0))
        written.append(voxels)
    return written


def check(archive, output, written, **more):
    before = everything(archive)
    cases, verdicts, done = index(archive, output, **more)
    assert everything(archive) == before
    assert len(verdicts) == sum(1 for path in archive.rglob("*") if path.is_file())
    assert all(row["code"] and row["status"] in {"accepted", "refused"} for row in verdicts)
    taken = sum(row["status"] == "accepted" for row in verdicts)
    printed = dict(line.rsplit(maxsplit=1) for line in done.stdout.splitlines() if " " in line)
    assert int(printed["files"]) == len(verdicts)
    assert int(printed["accepted files"]) == taken
    assert int(printed["refused files"]) == len(verdicts) - taken
    assert are_there(written, voxels_of(cases, output))
    source = Source(output)
    for case in cases[:: max(1, len(cases) // 50)]:
        assert digest(source.image(case)) == case.digest


def test_good_series_among_hostile_files_are_accepted(tmp_path, dicom):
    written = hostile_archive(tmp_path / "in", dicom, [0])
    check(tmp_path / "in", tmp_path / "out", written)


@pytest.mark.long
def test_good_series_among_thousands_of_hostile_files_are_accepted(tmp_path, dicom):
    written = hostile_archive(tmp_path / "in", dicom, range(10, 20))
    check(tmp_path / "in", tmp_path / "out", written, scheduler="processes", jobs=2)


@pytest.mark.parametrize("place", ["beside", pytest.param("elsewhere", marks=pytest.mark.long)])
@pytest.mark.parametrize("kept", [0, 20], ids=["header", "pixels"])
def test_a_damaged_copy_of_a_slice_leaves_its_series_whole(tmp_path, dicom, place, kept):
    files = dicom.write(tmp_path / "in" / "good")
    folder = tmp_path / "in" / ("good" if place == "beside" else "copies")
    folder.mkdir(exist_ok=True)
    content = files[3].read_bytes()
    end = b"\xe0\x7f\x10\x00" if kept else b"\x28\x00\x10\x00"  # pixels, or rows
    (folder / "copy.dcm").write_bytes(content[: content.index(end) + kept])
    cases, verdicts, _ = index(tmp_path / "in", tmp_path / "out")
    assert [case.shape for case in cases] == [[6, 5, 7]]
    assert [row["code"] for row in verdicts].count("truncated") == 1
