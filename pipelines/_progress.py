"""How far long work is: a bar on a terminal, nothing elsewhere."""

import time
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

T = TypeVar("T")


class _Throughput(ProgressColumn):
    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        said = "" if speed is None else f"{speed:.1f} {task.fields['unit']}/s"
        megabytes = task.fields["megabytes"]
        return Text(said if megabytes is None else f"{said} {megabytes:.0f} MB/s")


def track(
    items: Iterable[T],
    *,
    total: int,
    label: str,
    unit: str,
    steps: Callable[[T], int] = lambda _: 1,
    size_bytes: Callable[[T], int] | None = None,
) -> Iterator[T]:
    """Yield the items and show how many are done, how fast, and how long the rest takes.

    Args:
        items: What is done, one after the other.
        total: How many steps they are.
        label: What is done.
        unit: What a step is called.
        steps: How many of them an item is.
        size_bytes: What an item holds, if megabytes a second are of interest.
    """
    console = Console(stderr=True)
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        _Throughput(),
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
    )
    with bar:
        task = bar.add_task(label, total=total, unit=unit, megabytes=None)
        started_s, done_bytes = time.monotonic(), 0
        for item in items:
            yield item
            if size_bytes is not None:
                done_bytes += size_bytes(item)
                seconds = max(time.monotonic() - started_s, 1e-3)
                bar.update(task, megabytes=done_bytes / 1e6 / seconds)
            bar.advance(task, steps(item))
