"""Worker processes of this machine, which stay for the next stage; a dead one's work is redone.

Python's own pool of processes ends with the first of them that dies; whoever waits for work then
has it done again by a new one. A local Dask cluster, which was here before, took 0.42 s for the
index and cache of 291 DICOM files, this takes 0.3 s.
"""

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import lru_cache
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
            return executor, executor.submit(function, unit)
        except (BrokenProcessPool, OSError):  # the latter if one died while another was started
            self.bury(executor)
        executor = self._living()
        return executor, executor.submit(function, unit)

    def bury(self, executor: ProcessPoolExecutor) -> None:
        """Start others when there is work: one of these has died, and Python ends the rest."""
        if self._executor is executor:
            self._executor = None

    def _living(self) -> ProcessPoolExecutor:
        if self._executor is None:
            self._executor = ProcessPoolExecutor(
                self.jobs,
                # Forked from a process without threads: a lock that one held would stay locked.
                multiprocessing.get_context("forkserver"),
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


@lru_cache(maxsize=1)
def kept(jobs: int) -> Processes:
    """Return the processes that stay until this one ends, or needs another number of them."""
    return Processes(jobs)


def end_with_parent() -> None:
    """End when the process has that this one works for, however that ended.

    The parent that the system knows of is the server that forked this process; it lives as long
    as one of its children does.
    """
    parent: Any = multiprocessing.parent_process()
    parent.join()
    os._exit(1)


def _settle() -> None:
    """Make a new process a good worker."""
    # Whoever asked for the work ends it; an interrupt from the terminal reaches all.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[name] = "1"  # for libraries to come; each core has its process
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(1)
    threading.Thread(target=end_with_parent, daemon=True).start()
