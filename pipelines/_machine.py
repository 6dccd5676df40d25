"""What this machine has, found out without changing anything on it."""

import os
import platform
import shutil
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal

import torch
from pydicom import uid
from pydicom.pixels.decoders.base import get_decoder

GIB = 2**30
LEAST_MEMORY_GIB = 4.0
LEAST_SHARED_GIB = 1.0
LEAST_DISK_GIB, LITTLE_DISK_GIB = 1.0, 20.0
PACKAGES = ("torch", "lightning", "monai", "mlflow", "pydicom", "blosc2")
PATIENCE_S = 1.0  # with a run that is writing to the store just now
CGROUP_LIMIT = Path("/sys/fs/cgroup/memory.max")
SHARED = Path("/dev/shm")
SQLITE = "sqlite:///"
COMPRESSED = (
    uid.DeflatedExplicitVRLittleEndian,
    uid.RLELossless,
    uid.JPEGBaseline8Bit,
    uid.JPEGExtended12Bit,
    uid.JPEGLossless,
    uid.JPEGLosslessSV1,
    uid.JPEGLSLossless,
    uid.JPEGLSNearLossless,
    uid.JPEG2000Lossless,
    uid.JPEG2000,
    uid.HTJ2KLossless,
    uid.HTJ2KLosslessRPCL,
    uid.HTJ2K,
)


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Args:
        state: Whether it is as it should be, may be in the way, or is missing.
        subject: What was looked at.
        found: What is there.
        advice: What to do next, if anything.
    """

    state: Literal["OK", "WARN", "FAIL"]
    subject: str
    found: str
    advice: str = ""


def packages() -> Finding:
    """Look for Python and the packages that stages load."""
    found, missing = [f"Python {platform.python_version()}"], []
    for name in PACKAGES:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            missing.append(name)
    if missing:
        words = f"without {', '.join(missing)}"
        return Finding("FAIL", "packages", words, "pip install -e . in the repository")
    return Finding("OK", "packages", ", ".join(found))


def accelerators() -> list[Finding]:
    """Look for what torch can compute on besides the processor."""
    found = []
    for index in range(torch.cuda.device_count()):
        device = torch.cuda.get_device_properties(index)
        text = f"{device.name}, {device.total_memory / GIB:.0f} GiB"
        found.append(Finding("OK", f"cuda:{index}", text))
    if torch.backends.mps.is_available():
        found.append(Finding("OK", "mps", "Apple's GPU"))
    if found:
        return found
    advice = (
        "small studies run on the processor; for larger ones use a machine with a GPU, and "
        "if this is one, install a torch that is built for its driver"
    )
    built = torch.version.cuda or "none"
    return [Finding("WARN", "accelerator", f"none (torch is built for CUDA: {built})", advice)]


def processors() -> Finding:
    """Count the processors that this process may use."""
    try:
        usable = len(os.sched_getaffinity(0))
    except AttributeError:  # macOS knows no affinity
        usable = os.cpu_count() or 1
    threads = torch.get_num_threads()
    text = f"{usable} usable, torch computes with {threads} threads"
    if threads > usable:
        return Finding("WARN", "processors", text, f"set OMP_NUM_THREADS={usable}")
    return Finding("OK", "processors", text)


def memory() -> Finding:
    """Look at the memory there is, and at what a container may take of it."""
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    text = f"{total / GIB:.1f} GiB"
    if CGROUP_LIMIT.is_file() and (limit := CGROUP_LIMIT.read_text().strip()) != "max":
        text += f", of which this container may take {min(total, int(limit)) / GIB:.1f}"
        total = min(total, int(limit))
    if total < LEAST_MEMORY_GIB * GIB:
        advice = "set memory_gib of `cache` and `embed` lower, and batch_size of `pretrain`"
        return Finding("WARN", "memory", text, advice)
    return Finding("OK", "memory", text)


def shared_memory() -> Finding:
    """Look at the memory through which loader workers hand over their batches."""
    if not SHARED.is_dir():
        return Finding("OK", "shared memory", "not limited apart from memory")
    size = shutil.disk_usage(SHARED)
    text = f"{size.free / GIB:.1f} of {size.total / GIB:.1f} GiB free in {SHARED}"
    if size.free < LEAST_SHARED_GIB * GIB:
        advice = "set num_workers=0, or start the container with --shm-size=8g"
        return Finding("WARN", "shared memory", text, advice)
    return Finding("OK", "shared memory", text)


def disk(folder: Path) -> Finding:
    """Look at the space where outputs go."""
    there = _existing(folder)
    free = shutil.disk_usage(there).free / GIB
    text = f"{free:.1f} GiB free in {there}"
    if not os.access(there, os.W_OK):
        advice = "set output of each stage, or folder here, to one that is yours"
        return Finding("FAIL", "disk", f"{there} cannot be written to", advice)
    if free < LEAST_DISK_GIB:
        return Finding("FAIL", "disk", text, "free some, or give another folder")
    if free < LITTLE_DISK_GIB:
        advice = "a cache takes 1 to 4 bytes a voxel, a training state 4 times its weights"
        return Finding("WARN", "disk", text, advice)
    return Finding("OK", "disk", text)


def store(uri: str, folder: Path) -> list[Finding]:
    """Look whether runs can be written down, and for a store of the kind given up."""
    found = [_database(Path(uri.removeprefix(SQLITE)))] if uri.startswith(SQLITE) else []
    if not found:
        found = [Finding("OK", "MLflow", f"{uri}, not asked", "open it in a browser")]
    if (old := folder / "mlruns").is_dir():
        advice = "`mlflow migrate-filestore` moves its runs into a database"
        found.append(Finding("WARN", "MLflow", f"{old} is a file store, which is not read", advice))
    return found


def decoders() -> list[Finding]:
    """Look which compressed DICOM images can be read."""
    missing = [syntax for syntax in COMPRESSED if not _decodes(syntax)]
    count = f"{len(COMPRESSED) - len(missing)} of {len(COMPRESSED)} compressed syntaxes"
    found = [Finding("OK", "DICOM decoders", f"uncompressed and {count}")]
    for syntax in missing:
        needs = ", ".join(get_decoder(syntax).missing_dependencies)
        advice = f"pip install -e . in the repository brings one of: {needs}"
        found.append(Finding("FAIL", "DICOM decoders", f"none for {syntax.name}", advice))
    return found


def _decodes(syntax: uid.UID) -> bool:
    # 12-bit JPEG is read by SimpleITK, which `packages` cannot be without.
    return syntax == uid.JPEGExtended12Bit or get_decoder(syntax).is_available


def _existing(folder: Path) -> Path:
    """Return the folder, or the closest one above it that is there."""
    folder = folder.absolute()
    return next(one for one in (folder, *folder.parents) if one.is_dir())


def _database(path: Path) -> Finding:
    """Look whether a SQLite file, or one to be made there, can be written."""
    above = _existing(path.parent)
    if not os.access(above, os.W_OK):
        advice = "set tracker.uri to a place that is yours"
        return Finding("FAIL", "MLflow", f"{above} cannot be written to", advice)
    if not path.is_file():
        return Finding("OK", "MLflow", f"{path}, made by the first run")
    try:
        uri = f"{path.absolute().as_uri()}?mode=rw"
        with closing(sqlite3.connect(uri, uri=True, timeout=PATIENCE_S)) as database:
            database.execute("BEGIN IMMEDIATE")
            database.rollback()
    except sqlite3.Error as error:
        advice = "end the process that holds it, or set tracker.uri to another file"
        return Finding("FAIL", "MLflow", f"{path}: {error}", advice)
    return Finding("OK", "MLflow", f"{path}, writable")
