"""Worker processes of this machine, in whose place others do the work of one that dies.

Python's own pool of processes ends with the first of them that dies; whoever waits for work then
has it done again by a new one. For index and cache of 291 DICOM files two such processes take
0.30 s, two threads 0.40 s, a local Dask cluster of two processes 0.42 s (medians of 10, all warm,
in turns on two cores). Cold ones take a good second to import what they need.
"""

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from medssl.errors import WorkerError

MOST_DEATHS = 3  # over one piece of work
_DIED = (
    f"{MOST_DEATHS} worker processes in a row died over the same work: if the system ran out of "
    "memory, set jobs or memory_gib lower; if a file of the work crashes what decodes it, take it "
    "out of the archive; a script that runs stages does so below `if __name__ == '__main__':`"
)


class Processes:
    """So many processes of a thread each, started when there is work.

    Args:
        jobs: How many.
    """

    def __init__(self, jobs: int) -> None:
        """Start none yet."""
        self.jobs = jobs
        self._executor: ProcessPoolExecutor | None = None

    def submit(self, function: Callable[[Any], Any], unit: Any, /) -> "Work":
        """Have a process call the function; it, the unit and the result travel there and back."""
        return Work(self, function, unit)

    def start(
        self, function: Callable[[Any], Any], unit: Any
    ) -> tuple[ProcessPoolExecutor, Future[Any]]:
        """Have a process call the function, and say which ones it is one of."""
        executor = self._living()
        try:
            return executor, _submitted(executor, function, unit)
        except (BrokenProcessPool, OSError):  # the latter if one died while another was started
            self.bury(executor)
        executor = self._living()
        return executor, _submitted(executor, function, unit)

    def bury(self, executor: ProcessPoolExecutor) -> None:
        """Start others when there is work: one of these has died, and Python ends the rest."""
        if self._executor is executor:
            self._executor = None

    def end(self) -> None:
        """Wait for those that are at work, and end all."""
        if self._executor is not None:
            self._executor.shutdown(cancel_futures=True)
        self._executor = None

    def _living(self) -> ProcessPoolExecutor:
        if self._executor is None:
            self._executor = ProcessPoolExecutor(
                self.jobs,
                # Not forked: the server that forks a loader's workers has torch to share, and one
                # that was started here would not.
                multiprocessing.get_context("spawn"),
                initializer=_settle,
            )
        return self._executor


class Work:
    """A promise that outlives the process that it was given to."""

    def __init__(self, processes: Processes, function: Callable[[Any], Any], unit: Any) -> None:
        """Have it started."""
        self._processes, self._function, self._unit = processes, function, unit
        self._executor, self._future = processes.start(function, unit)

    def result(self) -> Any:
        """Wait for the work and return what came of it, or raise what it raised.

        Raises:
            WorkerError: If process after process died over it.
        """
        deaths = 0
        while True:
            try:
                return self._future.result()
            except BrokenProcessPool as error:
                self._processes.bury(self._executor)
                deaths += 1
                if deaths == MOST_DEATHS:
                    raise WorkerError(_DIED) from error
                self._executor, self._future = self._processes.start(self._function, self._unit)

    def cancel(self) -> None:
        """Start none of what was given to its processes and has not been started.

        Not by the future: should a process die then, as an interrupt has it while it starts,
        Python 3.11 trips over one that was cancelled.
        """
        self._processes.bury(self._executor)
        self._executor.shutdown(wait=False, cancel_futures=True)


_kept: ContextVar[dict[int, Processes] | None] = ContextVar("_kept", default=None)


@contextmanager
def open_processes(jobs: int) -> Iterator[Processes]:
    """Have so many for a while: a stage's own, or those of all stages where these are kept."""
    kept = _kept.get()
    if kept is not None:
        yield kept.setdefault(jobs, Processes(jobs))
        return
    processes = Processes(jobs)
    try:
        yield processes
    finally:
        processes.end()


@contextmanager
def processes_kept() -> Iterator[None]:
    """Keep processes from stage to stage: each holds some 200 MiB of libraries and heap."""
    kept: dict[int, Processes] = {}
    before = _kept.set(kept)
    try:
        yield
    finally:
        _kept.reset(before)
        for processes in kept.values():
            processes.end()


def end_with_parent() -> None:
    """End when the process has that this one works for, however that ended.

    Of one that was forked by a server the system takes that for the parent, and it lives as long
    as one of its children does.
    """
    parent: Any = multiprocessing.parent_process()
    parent.join()
    os._exit(1)


def _submitted(
    executor: ProcessPoolExecutor, function: Callable[[Any], Any], unit: Any
) -> Future[Any]:
    """Submit; a process that is started for it is deaf to interrupts, which the terminal sends all.

    Whoever asked for the work hears of one that came meanwhile, and ends the rest.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        return executor.submit(function, unit)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _settle() -> None:
    """Make a new process a good worker."""
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[name] = "1"  # for libraries that are still to come; each core has its process
    if torch := sys.modules.get("torch"):  # of the script that this process is started from
        torch.set_num_threads(1)
    threading.Thread(target=end_with_parent, daemon=True).start()
