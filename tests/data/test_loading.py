"""What a loader takes of memory, and what it says of workers that die."""

import multiprocessing
import os
import signal
import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from medssl.data.cache import write_cached
from medssl.data.crops.random import Random
from medssl.data.loading import Loader
from medssl.data.manifest import Case, Manifest, write_manifest
from medssl.data.preprocessing import Intensity
from medssl.data.sampling import Epochs
from medssl.data.volume import Volume
from medssl.errors import DataError, WorkerError


def cached(root, num_files, num_cases, side):
    """Cases that take turns in being one of the files."""
    noise = np.random.default_rng(0)
    for number in range(num_files):
        slope = np.add.outer(np.add.outer(np.arange(side) * number, np.arange(side)), range(side))
        voxels = slope + noise.integers(64, size=(side, side, side))
        write_cached(
            root / f"{number}.b2nd",
            Volume(voxels[None].astype(np.int16), np.eye(4)),
            intensity=Intensity(0.0, 1.0, -1e9, 1e9),
            source_affine=np.eye(4),
            source_shape=(side, side, side),
            key=str(number),
        )
    return Manifest.of(
        Case(
            case_id=f"case{number}",
            digest=str(number),
            subject_id=str(number),
            image_uri=f"{number % num_files}.b2nd",
            shape=[side, side, side],
            spacing_mm=[1.0, 1.0, 1.0],
            split="train",
        )
        for number in range(num_cases)
    )


def endless(manifest, root, num_workers, num_items=1):
    source = Random(manifest, root, 0, crop_vox=(4, 4, 4))
    source.num_items = num_items
    epochs = Epochs(manifest.codes("subject_id"), 1000, 2, seed=0)
    return iter(Loader(source, epochs, num_workers=num_workers))


@pytest.mark.parametrize("num_workers", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_a_file_that_cannot_be_read_is_told_with_its_case(tmp_path, num_workers):
    manifest = cached(tmp_path, 3, 3, 8)
    whole = (tmp_path / "1.b2nd").read_bytes()
    (tmp_path / "1.b2nd").write_bytes(whole[: len(whole) // 2])
    expected = r"^case case1 \(row 1, epoch \d\): .*1\.b2nd: expected a .* run `medssl cache` again"
    with pytest.raises(DataError, match=expected) as caught:
        for _ in endless(manifest, tmp_path, num_workers):
            pass
    (note,) = caught.value.__notes__
    assert "Traceback" in note
    assert "medssl/data/cache.py" in note
    assert multiprocessing.active_children() == []


@pytest.mark.parametrize("num_workers", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_an_error_that_nobody_foresaw_names_the_case_too(tmp_path, num_workers):
    manifest = cached(tmp_path, 3, 3, 8)
    batches = endless(manifest, tmp_path, num_workers, num_items="many")
    with pytest.raises(TypeError) as caught:
        next(batches)
    told = "\n".join([str(caught.value), *getattr(caught.value, "__notes__", [])])
    assert "This was case case" in told
    assert "cannot be interpreted as an integer" in told
    assert num_workers == 0 or "Traceback" in told


def started(process):
    """Return which process it is of those that were started here: they are numbered."""
    return int(process.name.rpartition("-")[2])


@pytest.mark.long
@pytest.mark.parametrize(
    ("number", "told"),
    [
        (signal.SIGKILL, "the system counts no kill for memory|the system had run out of memory"),
        (signal.SIGSEGV, "its cached file may be damaged"),
        (signal.SIGTERM, "something outside ended it"),
    ],
)
def test_a_worker_that_dies_is_told_with_the_case_that_it_held(tmp_path, monkeypatch, number, told):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    manifest = cached(tmp_path, 3, 3, 8)
    # So many pieces of a case that both workers are at their first ones when one is killed.
    batches = endless(manifest, tmp_path, num_workers=2, num_items=10**6)
    victims = []

    def kill():
        while not any(any(note.read_bytes()) for note in tmp_path.glob("medssl-loader-*/1.note")):
            time.sleep(0.02)
        victims.append(max(multiprocessing.active_children(), key=started).pid)
        os.kill(victims[0], number)

    killer = threading.Thread(target=kill)
    killer.start()
    started_s = time.monotonic()
    with pytest.raises(WorkerError, match=told) as caught:
        next(batches)
    assert time.monotonic() - started_s < 20
    killer.join()
    _, (first, *_) = list(Epochs(manifest.codes("subject_id"), 2, 2, seed=0))
    assert str(caught.value).startswith(
        f"loader worker 1 (process {victims[0]}) was killed by {number.name} while it read "
        f"case case{first[1]} (row {first[1]}, epoch {first[0]}), with 0."
    )
    notes = "\n".join(getattr(caught.value, "__notes__", []))
    assert ("crops/random.py" in notes) == (number == signal.SIGSEGV)
    assert multiprocessing.active_children() == []


UNGUARDED = """
import sys
from pathlib import Path

from medssl.data.crops.random import Random
from medssl.data.loading import Loader
from medssl.data.manifest import read_manifest
from medssl.data.sampling import Epochs

root = Path(sys.argv[1])
manifest = read_manifest(root / "manifest.parquet")
source = Random(manifest, root, 0, crop_vox=(4, 4, 4))
epochs = Epochs(manifest.codes("subject_id"), 100, 2, seed=0)
next(iter(Loader(source, epochs, num_workers=1)))
"""


@pytest.mark.long
def test_a_script_that_its_workers_cannot_import_is_told_so(tmp_path):
    write_manifest(cached(tmp_path, 3, 3, 8), tmp_path / "manifest.parquet")
    (tmp_path / "unguarded.py").write_text(UNGUARDED)
    command = [sys.executable, str(tmp_path / "unguarded.py"), str(tmp_path)]
    ran = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert ran.returncode == 1
    assert "below `if __name__ == '__main__':`" in ran.stderr


FOLLOWED = """
import multiprocessing, sys, time
from pathlib import Path

from medssl.data.crops.random import Random
from medssl.data.loading import Loader
from medssl.data.manifest import read_manifest
from medssl.data.sampling import Epochs

if __name__ == "__main__":
    root = Path(sys.argv[1])
    manifest = read_manifest(root / "manifest.parquet")
    source = Random(manifest, root, 0, crop_vox=(4, 4, 4))
    epochs = Epochs(manifest.codes("subject_id"), 100, 2, seed=0)
    batches = iter(Loader(source, epochs, num_workers=2))
    next(batches)
    print(*(child.pid for child in multiprocessing.active_children()), flush=True)
    time.sleep(100)
"""


@pytest.mark.long
def test_workers_do_not_outlive_a_killed_run(tmp_path):
    write_manifest(cached(tmp_path, 3, 3, 8), tmp_path / "manifest.parquet")
    (tmp_path / "followed.py").write_text(FOLLOWED)
    command = [sys.executable, str(tmp_path / "followed.py"), str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as run:
        workers = [int(pid) for pid in run.stdout.readline().split()]
        assert len(workers) == 2
        assert all(map(is_running, workers))
        run.kill()
    until_s = time.monotonic() + 10
    while any(map(is_running, workers)) and time.monotonic() < until_s:
        time.sleep(0.05)
    assert not any(map(is_running, workers))


def is_running(process):
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


MEASURED = """
import sys
from pathlib import Path

from medssl.data.crops.random import Random
from medssl.data.loading import Loader
from medssl.data.manifest import read_manifest
from medssl.data.sampling import Epochs

def tree(process):
    listed = Path(f"/proc/{process}/task").glob("*/children")
    children = [int(child) for path in listed for child in path.read_text().split()]
    return [process, *(below for child in children for below in tree(child))]

def share_kib(process):
    rows = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
    return next(int(row.split()[1]) for row in rows if row.startswith("Pss:"))

if __name__ == "__main__":
    root = Path(sys.argv[1])
    manifest = read_manifest(root / "manifest.parquet")
    source = Random(manifest, root, 0, crop_vox=(64, 64, 64))
    epochs = Epochs(manifest.codes("subject_id"), 625, 8, seed=0)
    for step, _ in enumerate(Loader(source, epochs, num_workers=4)):
        if step % 12 == 11:
            processes = tree(int(Path("/proc/self").resolve().name))
            print(step // 125, len(processes), sum(map(share_kib, processes)), flush=True)
"""


@pytest.mark.long
def test_four_workers_over_a_thousand_cases_stay_small_and_do_not_grow(tmp_path):
    """In a process of its own: this one has imported much else."""
    if not Path("/proc/self/smaps_rollup").is_file():
        pytest.skip("this system does not tell proportional memory")
    write_manifest(cached(tmp_path, 20, 1000, 256), tmp_path / "manifest.parquet")
    (tmp_path / "measured.py").write_text(MEASURED)
    command = [sys.executable, "-W", "ignore", str(tmp_path / "measured.py"), str(tmp_path)]
    ran = subprocess.run(command, capture_output=True, text=True, check=True)
    rows = [tuple(map(int, line.split())) for line in ran.stdout.splitlines()]
    # The parent, Python's tracker of resources, the server, and its four workers.
    assert {count for _, count, _ in rows} == {7}
    assert max(share_kib for _, _, share_kib in rows) * 1024 < 1.5e9
    # Batches on their way come and go.
    first, *_, last = (
        statistics.median(share_kib for each, _, share_kib in rows if each == epoch)
        for epoch in range(5)
    )
    assert last < 1.05 * first
