"""Why a loader's worker died: which signal, at which case, with how much memory, and what to do."""

import signal
from dataclasses import dataclass
from pathlib import Path

from medssl.data.manifest import Manifest
from medssl.data.workers import Note, last_note, last_place, named
from medssl.errors import WorkerError

_COUNTERS = Path("/proc/vmstat")
_MEMORY = Path("/proc/meminfo")
_GIB = 2**30

_FEWER = "set num_workers, optim.batch_size or crop_vox lower"
_DAMAGED = "its cached file may be damaged: delete it and run `medssl cache` again"
_UNSTARTED = (
    "it could not start, and said why above; a script that loads by workers does so below "
    "`if __name__ == '__main__':`, since they import it"
)
_ADVICE = {
    signal.SIGBUS: (
        "shared memory may be full: set num_workers=0, or give the machine more of it; "
        "`medssl doctor` says how much there is"
    ),
    signal.SIGTERM: "something outside ended it; run again, a run goes on where it last saved",
}


@dataclass(frozen=True)
class Dead:
    """A worker that is no more.

    Args:
        worker: Its number among the loader's.
        pid: Of its process.
        exitcode: What it ended with; of a signal the negative number.
    """

    worker: int
    pid: int
    exitcode: int


def report(dead: Dead, folder: Path, manifest: Manifest, *, kills_before: int) -> WorkerError:
    """Return an error that says all that is known of a death.

    Args:
        dead: Whom it is about.
        folder: Where workers left their notes.
        manifest: The cases that rows are of.
        kills_before: How many processes the kernel had killed for memory when loading began.
    """
    note = last_note(folder, dead.worker)
    advice = _advice(dead.exitcode, note, kills=out_of_memory_kills() - kills_before)
    msg = (
        f"loader worker {dead.worker} (process {dead.pid}) {_end(dead.exitcode)} "
        f"{_when(note, manifest)}{_free()}; {advice}"
    )
    error = WorkerError(msg)
    if place := last_place(folder, dead.worker):
        error.add_note(f"Where it was:\n{place}")
    return error


def out_of_memory_kills() -> int:
    """Return how many processes the kernel has killed for memory; 0 where it does not say."""
    return _numbers(_COUNTERS).get("oom_kill", 0)


def _when(note: Note | None, manifest: Manifest) -> str:
    if note is None:
        return "before it read a case"
    verb = "while it read" if note.is_reading else "after it had read"
    case = named(manifest, note.epoch, note.row)
    return f"{verb} {case}, with {note.peak_bytes / _GIB:.2f} GiB of memory at most"


def _end(exitcode: int) -> str:
    if exitcode >= 0:
        return f"ended with status {exitcode}"
    return f"was killed by {signal.Signals(-exitcode).name}"


def _advice(exitcode: int, note: Note | None, *, kills: int) -> str:
    if exitcode >= 0:
        return _DAMAGED if note else _UNSTARTED
    if -exitcode == signal.SIGKILL:
        if kills > 0:
            return f"the system had run out of memory: {_FEWER}"
        return (
            "the system counts no kill for memory since loading began, so something else did it, "
            f"such as a job's limit; if that is of memory, {_FEWER}"
        )
    return _ADVICE.get(signal.Signals(-exitcode), _DAMAGED)


def _free() -> str:
    found = _numbers(_MEMORY)
    if "MemAvailable" not in found:
        return ""
    free, total = (found[name] * 1024 / _GIB for name in ("MemAvailable", "MemTotal"))
    return f"; {free:.1f} of the machine's {total:.1f} GiB are free now"


def _numbers(path: Path) -> dict[str, int]:
    """Return what a table of the kernel's counts; nothing where there is none."""
    if not path.is_file():  # macOS
        return {}
    rows = (line.replace(":", "").split() for line in path.read_text().splitlines())
    return {row[0]: int(row[1]) for row in rows}
