"""Fair timing: everybody on the same cores, in turn, warm, each time into an empty folder."""

import os
import platform
import shutil
import statistics
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

from rich.console import Console
from rich.table import Table

from medssl.errors import DataError
from pipelines.benches import Goal, Measured

Work = Callable[[Path], None]
PACKAGES = ("numpy", "pydicom", "blosc2", "pyarrow", "torch")
PROCESSORS = Path("/proc/cpuinfo")
PROCESS = Path("/proc/self/status")


@contextmanager
def on_cores(count: int) -> Iterator[None]:
    """Keep this process and those it starts to so many cores, where the system can."""
    if not hasattr(os, "sched_setaffinity"):  # macOS
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, sorted(before)[:count])
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@contextmanager
def emptied(folder: Path) -> Iterator[Path]:
    """Provide a folder that was empty and is gone afterwards."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def alternate(works: Mapping[str, Work], scratch: Path, repetitions: int) -> dict[str, list[float]]:
    """Return the seconds that each work takes, by repetition.

    All take turns, another one first each time, and a first round, which fills caches and loads
    code, is not counted.
    """
    taken_s: dict[str, list[float]] = {name: [] for name in works}
    turns = deque(works)
    for repetition in range(repetitions + 1):
        for name in turns:
            with emptied(scratch / name) as output:
                start = time.perf_counter()
                works[name](output)
                taken = time.perf_counter() - start
            if repetition > 0:
                taken_s[name].append(taken)
        turns.rotate()
    return taken_s


def ratio(
    name: str,
    above: Sequence[float],
    below: Sequence[float],
    *,
    unit: str,
    goal: Goal | None = None,
) -> Measured:
    """Return how many times one is the other, by the repetitions that were measured together."""
    each = [first / second for first, second in zip(above, below, strict=True)]
    return Measured(
        name=name,
        value=statistics.median(each),
        low=min(each),
        high=max(each),
        unit=unit,
        goal=goal,
    )


def median_of(name: str, values: Sequence[float], *, unit: str) -> Measured:
    """Return the median of what was measured, without a goal."""
    return Measured(
        name=name, value=statistics.median(values), low=min(values), high=max(values), unit=unit
    )


def show(
    measured: Mapping[str, Sequence[float]], *, unit: str, notes: Mapping[str, str] | None = None
) -> None:
    """Print a table of what was measured, a row a name."""
    table = Table(title=f"{unit}, median of the repetitions (smallest to largest)")
    for column in ("", unit, *(["what it does"] if notes else [])):
        table.add_column(column)
    for name, each in measured.items():
        median = statistics.median(each)
        spread = f"{median:.3g} ({min(each):.3g} to {max(each):.3g})"
        table.add_row(name, spread, *([notes[name]] if notes else []))
    Console(width=140 if not Console().is_terminal else None).print(table)


def peak_bytes() -> int:
    """Return the most memory that this process has had, not counting the one that started it.

    Raises:
        DataError: If the system does not say.
    """
    # `ru_maxrss` begins at what the parent had when it forked.
    for line in PROCESS.read_text().splitlines() if PROCESS.is_file() else []:
        if line.startswith("VmHWM:"):
            return 1024 * int(line.split()[1])
    msg = f"{PROCESS} says nothing of VmHWM: this bench needs Linux"
    raise DataError(msg)


def setting() -> dict[str, str]:
    """Say on what it was measured."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    memory_gib = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    return {
        "processor": f"{_processor()}, {cores} usable cores",
        "load": f"{os.getloadavg()[0]:.1f} processes over the last minute, these included",
        "memory": f"{memory_gib:.1f} GiB",
        "system": platform.platform(),
        "python": platform.python_version(),
        "packages": ", ".join(f"{name} {version(name)}" for name in PACKAGES),
    }


def _processor() -> str:
    if PROCESSORS.is_file():
        for line in PROCESSORS.read_text().splitlines():
            key, _, value = line.partition(":")
            if key.strip() == "model name":
                return value.strip()
    return platform.processor() or platform.machine()
