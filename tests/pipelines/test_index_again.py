"""The stage `index` over an archive that grows, and in the hands of processes that die."""

import os
import runpy
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import nibabel
import numpy as np
import psutil
import pyarrow.parquet as pq
import pytest
import yaml
from distributed import LocalCluster

from medssl.data.manifest import read_manifest
from medssl.data.source import Source
from medssl.data.volume import digest
from pipelines.__main__ import main

OPENED: list[Path] = []
KEY = b"some secret of 16 bytes"


def _note(event, arguments):
    if event == "open" and isinstance(arguments[0], str | bytes):
        OPENED.append(Path(os.fsdecode(arguments[0])))


@pytest.fixture(scope="module", autouse=True)
def _noted():
    sys.addaudithook(_note)  # which cannot be taken back


@pytest.fixture(scope="module")
def dicom_series():
    return SimpleNamespace(**runpy.run_path(str(Path(__file__).parents[1] / "dicom_series.py")))


@pytest.fixture
def archive(tmp_path, dicom_series):
    """Ten series of seven slices and ten files of one volume."""
    root = tmp_path / "in"
    for number in range(10):
        series = {"SeriesInstanceUID": f"1.{number}", "PatientID": f"P-{number}"}
        dicom_series.write(
            root / f"s{number}", dicom_series.VOXELS + number, dicom_series.AFFINE, **series
        )
        voxels = np.random.default_rng(number).integers(0, 99, (4, 5, 6)).astype(np.int16)
        nibabel.save(nibabel.Nifti1Image(voxels, np.eye(4)), root / f"v{number}.nii.gz")
    return root


def config(tmp_path, output="out", **more):
    key = tmp_path / "key"
    key.write_bytes(KEY)
    key.chmod(0o600)
    path = tmp_path / f"{output}.yaml"
    source = {"root": str(tmp_path / "in")}
    asked = {"sources": [source], "output": str(tmp_path / output), "key": str(key), **more}
    path.write_text(yaml.safe_dump(asked))
    return path


def index(tmp_path, output="out", **more):
    """Run the stage; return what it wrote but for its notes, and which images it opened."""
    OPENED.clear()
    assert main(["index", str(config(tmp_path, output, **more))]) == 0
    opened = {path for path in OPENED if path.is_relative_to(tmp_path / "in")}
    return written(tmp_path / output), opened


def written(folder):
    return {
        path.relative_to(folder): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name not in ("looks.sqlite", "config.yaml")
    }


def test_of_an_archive_that_did_not_change_nothing_is_opened(tmp_path, archive):
    first, opened = index(tmp_path)
    assert len(opened) == 80
    second, opened = index(tmp_path)
    assert opened == set()
    assert second == first


def test_only_what_is_new_is_opened(tmp_path, archive, dicom_series):
    index(tmp_path)
    new = dicom_series.write(
        archive / "late", dicom_series.VOXELS, dicom_series.AFFINE, SeriesInstanceUID="1.99"
    )
    shutil.copy(archive / "v0.nii.gz", archive / "w.nii.gz")
    grown, opened = index(tmp_path)
    assert opened == {*new, archive / "w.nii.gz"}
    assert grown == index(tmp_path, "afresh")[0]


def test_a_slice_that_comes_late_completes_its_series(tmp_path, archive):
    late = sorted((archive / "s3").iterdir())[2]
    aside = late.rename(tmp_path / "aside")
    short, _ = index(tmp_path)
    assert len(read_manifest(tmp_path / "out" / "manifest.parquet")) == 19
    aside.rename(late)
    whole, opened = index(tmp_path)
    assert opened == {late}  # what is in the others is known
    assert whole == index(tmp_path, "afresh")[0] != short


def test_under_another_date_a_file_is_hashed_and_not_decoded(tmp_path, archive):
    first, _ = index(tmp_path)
    os.utime(archive / "v4.nii.gz")
    second, opened = index(tmp_path)
    assert opened == {archive / "v4.nii.gz"}
    assert OPENED.count(archive / "v4.nii.gz") == 1
    assert second == first
    assert index(tmp_path)[1] == set()


def test_what_changed_or_is_gone_is_known_no_more(tmp_path, archive):
    index(tmp_path)
    nibabel.save(nibabel.Nifti1Image(np.ones((4, 5, 6)), np.eye(4)), archive / "v4.nii.gz")
    (archive / "v5.nii.gz").unlink()
    shutil.rmtree(archive / "s5")
    changed, opened = index(tmp_path)
    assert opened == {archive / "v4.nii.gz"}
    assert changed == index(tmp_path, "afresh")[0]
    # Nothing of what is gone stays behind.
    kept = (tmp_path / "out" / "private" / "looks.sqlite").read_bytes()
    assert b"v4.nii.gz" in kept
    assert b"v5.nii.gz" not in kept


@pytest.mark.parametrize("damage", [b"no database", b"SQLite format 3\0" + bytes(range(256)) * 40])
def test_damaged_notes_are_made_anew(tmp_path, archive, damage):
    first, _ = index(tmp_path)
    (tmp_path / "out" / "private" / "looks.sqlite").write_bytes(damage)
    again, opened = index(tmp_path)
    assert len(opened) == 80
    assert again == first
    assert index(tmp_path)[1] == set()


def test_what_was_refused_is_not_read_again(tmp_path, archive):
    cut = sorted((archive / "s2").iterdir())[1]
    cut.write_bytes(cut.read_bytes()[:-20])
    (archive / "notes.txt").write_text("no image")
    first, _ = index(tmp_path)
    second, opened = index(tmp_path)
    assert opened == set()
    assert second == first
    table = pq.read_table(tmp_path / "out" / "verdicts.parquet").to_pydict()
    assert sorted(set(table["code"])) == [
        "broken_series",
        "image",
        "not_an_image",
        "truncated",
    ]


def test_what_another_key_hid_is_looked_at_again(tmp_path, archive):
    index(tmp_path)
    (tmp_path / "in" / "v9.nii.gz").unlink()
    global KEY
    before, KEY = KEY, KEY + b"!"
    try:
        assert len(index(tmp_path)[1]) == 79
    finally:
        KEY = before


@pytest.mark.long
@pytest.mark.usefixtures("environment_kept")
def test_who_reads_does_not_show(tmp_path, archive):
    (archive / "notes.txt").write_text("no image")
    cut = sorted((archive / "s2").iterdir())[1]
    cut.write_bytes(cut.read_bytes()[:-20])
    threads, _ = index(tmp_path)
    processes, opened = index(tmp_path, "processes", scheduler="processes")
    assert opened == set()  # by this process
    assert processes == threads
    with LocalCluster(
        n_workers=1, host="127.0.0.1", dashboard_address="127.0.0.1:0", memory_limit=0
    ) as cluster:
        scheduler = cluster.scheduler_address
        assert index(tmp_path, "cluster", scheduler=scheduler)[0] == threads
        clustered = cache(tmp_path, "clustered", scheduler=scheduler)
    assert clustered == cache(tmp_path, "threaded") == cache(tmp_path, "p", scheduler="processes")


def cache_config(tmp_path, output, scheduler):
    path = tmp_path / f"{output}.yaml"
    asked = {"index": str(tmp_path / "out"), "output": str(tmp_path / output), "preprocessing": {}}
    path.write_text(yaml.safe_dump(asked | {"scheduler": scheduler}))
    return path


def cache(tmp_path, output, scheduler="threads"):
    """Prepare what is indexed; return what was written."""
    assert main(["cache", str(cache_config(tmp_path, output, scheduler))]) == 0
    return written(tmp_path / output)


def test_folders_may_be_named_from_where_one_stands(tmp_path, archive, monkeypatch):
    index(tmp_path)
    absolute = cache(tmp_path, "absolute")
    monkeypatch.chdir(tmp_path)
    folder = Path("out")
    case = read_manifest(folder / "manifest.parquet")[0]
    assert digest(Source(folder).image(case)) == case.digest
    command = ["cache", "--set", "index=out", "--set", "output=relative"]
    assert main([*command, "--set", "preprocessing={}"]) == 0
    assert written(Path("relative")) == absolute


RUN = [sys.executable, "-m", "pipelines"]


@pytest.fixture
def large(tmp_path, archive):
    """Enough series that a run takes a while."""
    for number in range(1, 12):
        for series in [path for path in archive.iterdir() if path.name[0] == "s"][:10]:
            to = archive / f"copy{number}" / series.name
            shutil.copytree(series, to)
            for path in to.iterdir():
                data = path.read_bytes()
                path.write_bytes(data.replace(b"P-", b"Q%c" % (64 + number)))
    return archive


# The command line, with notes that are saved as they come: a test sees how far it is.
WATCHED = [
    sys.executable,
    "-c",
    "import sys; from medssl.data.archive import scan; scan.SAVE_EVERY_S = 0.0;"
    "from pipelines.__main__ import main; sys.exit(main(sys.argv[1:]))",
]


@pytest.mark.long
def test_a_killed_run_goes_on_and_ends_as_an_uninterrupted_one(tmp_path, large):
    whole, _ = index(tmp_path, "whole")
    num_files = sum(path.is_file() for path in large.rglob("*"))
    command = [*WATCHED, "index", str(config(tmp_path))]
    seen = [0]
    for share in (0.0, 0.3, 0.6, 1.0):
        with subprocess.Popen(command, stdout=subprocess.PIPE) as run:
            while looks_so_far(tmp_path / "out") <= max(seen[-1], share * num_files - 1):
                assert run.poll() is None
                time.sleep(0.001)
            os.kill(run.pid, signal.SIGKILL)
            assert run.wait() == -signal.SIGKILL  # and had not ended by itself
        seen.append(looks_so_far(tmp_path / "out"))
        assert not (tmp_path / "out" / "manifest.parquet").exists()
    assert 0 < seen[1] < seen[2] < seen[3] < num_files  # in the middle of the headers
    assert seen[4] == num_files  # and among the volumes
    assert index(tmp_path)[0] == whole


@pytest.mark.long
def test_a_run_of_which_a_worker_is_killed_ends_as_any_other(tmp_path, large):
    whole, _ = index(tmp_path, "whole")
    path = config(tmp_path, scheduler="processes")
    with subprocess.Popen([*RUN, "index", str(path)], stdout=subprocess.PIPE) as run:
        while looks_so_far(tmp_path / "out") == 0:
            assert run.poll() is None
            time.sleep(0.005)
        workers(run.pid)[0].kill()
        assert run.wait(120) == 0
    assert written(tmp_path / "out") == whole


@pytest.mark.long
@pytest.mark.usefixtures("environment_kept")
def test_a_cluster_of_which_a_worker_is_killed_ends_as_any_other(tmp_path, large):
    whole, _ = index(tmp_path, "whole")
    with LocalCluster(
        n_workers=2,
        threads_per_worker=1,
        host="127.0.0.1",
        dashboard_address="127.0.0.1:0",
        memory_limit=0,
        silence_logs=50,
    ) as cluster:
        path = config(tmp_path, scheduler=cluster.scheduler_address)
        with subprocess.Popen([*WATCHED, "index", str(path)], stdout=subprocess.PIPE) as run:
            while looks_so_far(tmp_path / "out") == 0:
                assert run.poll() is None
                time.sleep(0.001)
            workers(os.getpid())[0].kill()
            assert run.poll() is None
            assert not (tmp_path / "out" / "manifest.parquet").exists()
            assert run.wait(120) == 0
    assert written(tmp_path / "out") == whole


@pytest.mark.long
def test_a_cache_of_which_a_worker_is_killed_ends_as_any_other(tmp_path, large):
    index(tmp_path)
    whole = cache(tmp_path, "whole")
    path = cache_config(tmp_path, "cache", "processes")
    with subprocess.Popen([*RUN, "cache", str(path)], stdout=subprocess.PIPE) as run:
        while not any((tmp_path / "cache").glob("volumes/*.b2nd")):
            assert run.poll() is None
            time.sleep(0.005)
        workers(run.pid)[0].kill()
        assert run.wait(120) == 0
    assert written(tmp_path / "cache") == whole


def workers(pid):
    """The processes that a run has started to work for it."""
    children = psutil.Process(pid).children()
    return [child for child in children if "spawn_main" in " ".join(child.cmdline())]


def looks_so_far(folder):
    """How many files were looked at, as far as that is saved."""
    path = folder / "private" / "looks.sqlite"
    if not path.exists():
        return 0
    # Writable: what a killed run had not yet committed has to be rolled back before one can read.
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=rw", uri=True)) as base:
        try:
            return base.execute("SELECT COUNT(*) FROM looks").fetchone()[0]
        except sqlite3.OperationalError as error:
            if "no such table" not in str(error):  # it is being made
                raise
            return 0


@pytest.fixture
def small_disk(tmp_path):
    """A disk whose size can be set; what it holds is kept."""
    disk = tmp_path / "disk"
    disk.mkdir()

    def sized(option):
        command = ["mount", "-t", "tmpfs", "-o", option, "tmpfs", str(disk)]
        if subprocess.run(command, capture_output=True, check=False).returncode:
            pytest.skip("mounting a small disk is not permitted here")

    sized("size=128k")
    yield disk, sized
    subprocess.run(["umount", str(disk)], check=True)


@pytest.mark.long
def test_a_full_disk_is_one_line_and_more_space_goes_on(tmp_path, large, small_disk, capsys):
    disk, sized = small_disk
    whole, _ = index(tmp_path, "whole")
    capsys.readouterr()
    assert main(["index", str(config(tmp_path, "disk/out"))]) == 2
    said = capsys.readouterr().err
    assert said == (
        "medssl: the disk is full; free some space, then the same command goes on from here\n"
    )
    assert not (disk / "out" / "manifest.parquet").exists()
    sized("remount,size=64m")
    assert index(tmp_path, "disk/out")[0] == whole


@pytest.mark.long
def test_a_disk_that_is_full_in_mid_cache_is_one_line_and_more_space_goes_on(
    tmp_path, archive, small_disk
):
    disk, sized = small_disk
    index(tmp_path)
    whole = cache(tmp_path, "whole")
    size_bytes = sum(map(len, whole.values()))
    sized(f"remount,size={size_bytes // 2}")
    path = cache_config(tmp_path, "disk/cache", "threads")
    # In a process of its own: blosc2 leaves a file open that it could not write.
    done = subprocess.run([*RUN, "cache", str(path)], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr == (
        "medssl: the disk is full; free some space, then the same command goes on from here\n"
    )
    before = {path: path.stat().st_ino for path in disk.rglob("*.b2nd")}
    assert 0 < len(before) < sum(path.suffix == ".b2nd" for path in whole)
    assert not (disk / "cache" / "manifest.parquet").exists()
    sized("remount,size=64m")
    assert cache(tmp_path, "disk/cache") == whole
    assert {path: path.stat().st_ino for path in before} == before  # none was made again
