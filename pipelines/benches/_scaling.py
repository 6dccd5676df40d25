"""What becomes of time and memory as an archive grows?

Source: Linux, proc_pid_status(5): VmHWM is the most memory that a process has had.
"""

import json
import select
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from medssl.config.schema import Count, Positive, config
from medssl.data.phantom.bulk import write_bulk
from medssl.errors import ConfigError, DataError
from pipelines.benches import Goal, Measured
from pipelines.benches._measuring import emptied, ratio

LOOK_EVERY_S = 0.1
PARTS = {"headers": "headers alone", "whole": "index and cache"}
PROCESSES = Path("/proc")


@config
class Scaling:
    """Archives of several sizes, and what may grow with them.

    Args:
        sizes: Numbers of files, ascending.
        whole_up_to: The largest archive that is indexed and cached; of larger ones only the
            headers are read.
        repetitions: How often each is measured.
        most_time: What a file may take in the largest archive, as a multiple of what it takes
            in the one before.
        most_memory: What the largest archive may take, as a multiple of the smallest's.
    """

    sizes: Annotated[tuple[Count, ...], Field(min_length=2)] = (1_000, 10_000, 100_000)
    whole_up_to: Count = 10_000
    repetitions: Count = 3
    most_time: Positive = 1.1
    most_memory: Positive = 1.2

    def __post_init__(self) -> None:
        if list(self.sizes) != sorted(set(self.sizes)):
            msg = f"sizes: expected ascending numbers of files, got {list(self.sizes)}"
            raise ConfigError(msg)


STANDARD = Scaling()


@dataclass(frozen=True)
class Point:
    """What one process took.

    Args:
        part: `headers` or `whole`.
        num_files: Of the archive.
        repetition: From 0.
        wall_s: By the clock.
        cpu_s: On all cores together, its start included.
        peak_bytes: At most, it and its children together.
    """

    part: str
    num_files: int
    repetition: int
    wall_s: float
    cpu_s: float
    peak_bytes: int


def scale(scaling: Scaling, scratch: Path) -> list[Point]:
    """Measure all sizes, each in a process of its own, one after the other.

    Raises:
        ConfigError: If this system does not say what memory a process has had.
    """
    if not (PROCESSES / "self" / "status").is_file():
        msg = f"the peak of memory is read from {PROCESSES}, which is not there; run it on Linux"
        raise ConfigError(msg)
    for size in scaling.sizes:
        write_bulk(scratch / str(size), size)
    return [
        _measure(part, scratch, size, repetition)
        for repetition in range(scaling.repetitions)
        for part in PARTS
        for size in _sizes(scaling, part)
    ]


def growth(points: Sequence[Point], scaling: Scaling) -> Iterator[Measured]:
    """Yield how time a file and memory grow, for each part that was measured at several sizes."""
    for part, words in PARTS.items():
        sizes = _sizes(scaling, part)
        if len(sizes) < 2:
            continue
        first, before, last = (
            [p for p in points if (p.part, p.num_files) == (part, size)]
            for size in (sizes[0], sizes[-2], sizes[-1])
        )
        yield ratio(
            f"{part}_time",
            [one.wall_s / one.num_files for one in last],
            [one.wall_s / one.num_files for one in before],
            unit=f"x the time a file, {words}, {sizes[-1]} against {sizes[-2]} files",
            goal=Goal(side="at most", limit=scaling.most_time),
        )
        yield ratio(
            f"{part}_memory",
            [one.peak_bytes for one in last],
            [one.peak_bytes for one in first],
            unit=f"x the peak memory, {words}, {sizes[-1]} against {sizes[0]} files",
            goal=Goal(side="at most", limit=scaling.most_memory),
        )


def rows(points: Sequence[Point]) -> list[dict[str, Any]]:
    """Return the points as JSON holds them."""
    return [asdict(point) for point in points]


def tree_bytes(root: int) -> int:
    """Return what a process and all below it have had of memory at most."""
    return _peak_bytes(root) + sum(tree_bytes(child) for child in _children(root))


def _sizes(scaling: Scaling, part: str) -> list[int]:
    whole = part == "whole"
    return [size for size in scaling.sizes if not whole or size <= scaling.whole_up_to]


def _measure(part: str, scratch: Path, num_files: int, repetition: int) -> Point:
    with emptied(scratch / "output") as output:
        words = ["-m", "pipelines.benches._child", part, str(scratch / str(num_files)), str(output)]
        command = [sys.executable, *words]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
            if child.stdin is None or child.stdout is None:
                raise AssertionError
            peak = tree_bytes(child.pid)
            while not select.select([child.stdout], [], [], LOOK_EVERY_S)[0]:
                peak = max(peak, tree_bytes(child.pid))
            peak = max(peak, tree_bytes(child.pid))
            line = child.stdout.readline()
            child.stdin.close()
    if not line:
        msg = f"{PARTS[part]} of {num_files} files ended with status {child.returncode}; see above"
        raise DataError(msg)
    return Point(part, num_files, repetition, **json.loads(line), peak_bytes=peak)


def _peak_bytes(process: int) -> int:
    try:
        lines = (PROCESSES / str(process) / "status").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):  # it has ended
        return 0
    found = dict(line.split(":", 1) for line in lines)
    return int(found.get("VmHWM", "0 kB").split()[0]) * 1024


def _children(process: int) -> list[int]:
    found: list[int] = []
    for listed in (PROCESSES / str(process) / "task").glob("*/children"):
        try:
            found += map(int, listed.read_text().split())
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found
