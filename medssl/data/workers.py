"""What a loader's worker does: it reads case after case, and leaves behind which one it is at.

A worker notes each draw in a small file that it maps into its memory, so that the note is there
whatever kills it, and Python writes into another one where it was when a library crashed. Both
hold the numbers of rows and lines of code, nothing of a patient.
"""

import faulthandler
import gc
import mmap
import resource
import struct
import sys
import threading
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch
from torch.utils.data import get_worker_info

from medssl.data.crops import Pieces, stack
from medssl.data.manifest import Manifest
from medssl.data.processes import end_with_parent
from medssl.data.sharing import packed, unpacked
from medssl.errors import MedsslError

_NOTE = struct.Struct("4q")  # epoch, row, most bytes so far, whether it is being read
_MAXRSS_UNIT = 1 if sys.platform == "darwin" else 1024


@runtime_checkable
class CaseSource(Protocol):
    """A crop source as far as a worker knows it.

    Attributes:
        manifest: The cases that its rows are.
    """

    manifest: Manifest

    def __getitem__(self, draw: tuple[int, int]) -> Pieces:
        """Return the pieces of case `row` in `epoch`."""
        ...


@dataclass(frozen=True)
class Failure:
    """An error that is the user's to fix, on its way from the worker that met it.

    Args:
        kind: Its class.
        message: What it says, with the case.
        traceback: Where in the worker it came up.
    """

    kind: type[MedsslError]
    message: str
    traceback: str

    def error(self) -> MedsslError:
        """Return it as it is to be raised."""
        error = self.kind(self.message)
        error.add_note(f"Where it was read:\n{self.traceback}")
        return error


@dataclass(frozen=True)
class Note:
    """What a worker wrote down last.

    Args:
        epoch: Of the draw that it was at.
        row: Of the case.
        peak_bytes: The most memory that it had had by then, what it shares with others included.
        is_reading: Whether it was still at it.
    """

    epoch: int
    row: int
    peak_bytes: int
    is_reading: bool


class Reader:
    """Reads draws for a loader; errors name the case.

    Args:
        source: What is read.
        folder: Where workers leave their notes.
    """

    def __init__(self, source: CaseSource, folder: Path) -> None:
        self.source, self.folder = source, folder
        self.note: mmap.mmap | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {"source": packed(self.source, self.folder), "folder": self.folder}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.folder, self.note = state["folder"], None
        self.source = unpacked(state["source"], self.folder)

    def begin(self, worker: int) -> None:
        """Make this process a worker: one thread, notes, and the place of a crash."""
        torch.set_num_threads(1)
        threading.Thread(target=end_with_parent, daemon=True).start()
        # Objects of the parent would be copied by every look of the garbage collector at them.
        gc.freeze()
        crash = _crash(self.folder, worker).open("w")
        faulthandler.enable(crash)  # which keeps the file open
        path = _note(self.folder, worker)
        path.write_bytes(bytes(_NOTE.size))
        with path.open("r+b") as file:
            self.note = mmap.mmap(file.fileno(), _NOTE.size)

    def __getitem__(self, draw: tuple[int, int]) -> Pieces | Failure:
        epoch, row = draw
        self._write(epoch, row, is_reading=True)
        try:
            crops = self.source[draw]
        except MedsslError as error:
            message = f"{named(self.source.manifest, epoch, row)}: {error}"
            return Failure(type(error), message, traceback.format_exc())
        except Exception as error:
            error.add_note(f"This was {named(self.source.manifest, epoch, row)}.")
            raise
        self._write(epoch, row, is_reading=False)
        return crops

    def _write(self, epoch: int, row: int, *, is_reading: bool) -> None:
        if self.note is not None:
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _MAXRSS_UNIT
            _NOTE.pack_into(self.note, 0, epoch, row, peak, is_reading)


def start(worker: int) -> None:
    """Begin a worker's work; what torch calls in each."""
    info: Any = get_worker_info()
    info.dataset.begin(worker)


def join(cases: Sequence[Pieces | Failure]) -> Pieces | Failure:
    """Stack the pieces of several cases; the first failure stands for the whole batch."""
    read = []
    for case in cases:
        if isinstance(case, Failure):
            return case
        read.append(case)
    return stack(read)


def named(manifest: Manifest, epoch: int, row: int) -> str:
    """Return how a case is spoken of: by its pseudonym."""
    return f"case {manifest[row].case_id} (row {row}, epoch {epoch})"


def last_note(folder: Path, worker: int) -> Note | None:
    """Return what a worker wrote down last; nothing where it had not begun."""
    path = _note(folder, worker)
    written = path.read_bytes() if path.is_file() else b""
    if len(written) < _NOTE.size or not any(written):
        return None
    epoch, row, peak_bytes, is_reading = _NOTE.unpack(written)
    return Note(epoch, row, peak_bytes, bool(is_reading))


def last_place(folder: Path, worker: int) -> str:
    """Return where a worker was in its code when a library crashed; nothing if none did."""
    path = _crash(folder, worker)
    return path.read_text().strip() if path.is_file() else ""


def _note(folder: Path, worker: int) -> Path:
    return folder / f"{worker}.note"


def _crash(folder: Path, worker: int) -> Path:
    return folder / f"{worker}.crash"
