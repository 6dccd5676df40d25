"""Many units of work side by side, within a memory budget, their results in order.

Threads suffice where the work releases the interpreter (decompress, resample, compress).
Processes suit the rest, and a Dask cluster has many machines of them: one that dies is replaced,
and its work done again.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar, runtime_checkable

from medssl.data.processes import open_processes
from medssl.errors import ConfigError, DataError, WorkerError

Unit = TypeVar("Unit")
Result = TypeVar("Result")
TCP = "tcp://"


@runtime_checkable
class Promise(Protocol):
    """What a pool gives for work: a future, of threads or of Dask."""

    def result(self) -> Any:
        """Wait for the work and return what came of it, or raise what it raised."""

    def cancel(self) -> Any:
        """Do not start it, if it has not been started."""


@runtime_checkable
class Pool(Protocol):
    """Those who work.

    Attributes:
        jobs: How many pieces of work run at a time.
    """

    @property
    def jobs(self) -> int:
        """How many pieces of work run at a time."""

    def submit(self, function: Callable[[Any], Any], unit: Any, /) -> Promise:
        """Have a function called with a unit; several run at a time, in other threads."""


@dataclass(frozen=True)
class Serial:
    """Does work at once, in the caller's thread."""

    jobs: int = 1

    def submit(self, function: Callable[[Any], Any], unit: Any, /) -> Promise:
        """Call the function."""
        return _finished(function(unit))


@dataclass(frozen=True)
class Threads:
    """Threads of this process."""

    executor: ThreadPoolExecutor
    jobs: int

    def submit(self, function: Callable[[Any], Any], unit: Any, /) -> Promise:
        """Have a thread call the function."""
        return self.executor.submit(function, unit)


@dataclass(frozen=True)
class Cluster:
    """Workers of a Dask scheduler; functions, units and results travel there and back."""

    client: Any
    jobs: int

    def submit(self, function: Callable[[Any], Any], unit: Any, /) -> Promise:
        """Have a worker call the function; if it dies, another one does."""
        promise: Promise = self.client.submit(function, unit, pure=False)
        return promise


SERIAL = Serial()


@contextmanager
def open_pool(scheduler: str, jobs: int) -> Iterator[Pool]:
    """Have so many workers for a while.

    Args:
        scheduler: `threads`, `processes`, or the address of a Dask scheduler, `tcp://host:port`.
        jobs: How many; a Dask scheduler has its own number of them.

    Raises:
        DataError: If there is no scheduler at the address, or it has no workers.
    """
    if scheduler == "threads":
        with ThreadPoolExecutor(jobs) as executor:
            try:
                yield Threads(executor, jobs)
            finally:
                executor.shutdown(wait=True, cancel_futures=True)
    elif scheduler == "processes":
        with open_processes(jobs) as processes:
            yield processes
    elif scheduler.startswith(TCP):
        with _connected(scheduler) as client:
            yield Cluster(client, _num_threads(client, scheduler))
    else:
        msg = f"scheduler: expected threads, processes or {TCP}host:port, got {scheduler!r}"
        raise ConfigError(msg)


@contextmanager
def _connected(address: str) -> Iterator[Any]:
    from distributed import Client  # a second that threads save

    try:
        client = Client(address, timeout=5)
    except (OSError, TimeoutError, ValueError) as error:
        msg = (
            f"no Dask scheduler answers at {address} ({type(error).__name__}); start one with "
            "`dask scheduler` and workers with `dask worker`, or set scheduler to processes"
        )
        raise DataError(msg) from error
    with client:
        yield client


def _num_threads(client: Any, address: str) -> int:
    number = sum(client.nthreads().values())
    if number == 0:
        msg = f"the Dask scheduler at {address} has no worker; start some with `dask worker`"
        raise DataError(msg)
    return int(number)


def map_bounded(
    function: Callable[[Any], Result],
    units: Iterable[Unit],
    *,
    pool: Pool,
    memory_bytes: int,
    cost_bytes: Callable[[Unit], int],
    named: Callable[[Unit], str],
    known: Callable[[Unit], Result | None] = lambda _: None,
    sent: Callable[[Unit], Any] = lambda unit: unit,
) -> Iterator[tuple[Unit, Result]]:
    """Yield each unit with its result, in the units' order.

    A unit's cost is held from its start until its result has been taken. Units start in order;
    the next waits while it does not fit, and one above the whole budget runs alone.

    Args:
        function: What to do with a unit; called by several at once.
        units: Consumed as they are started, so they may be without end.
        pool: Who does it.
        memory_bytes: What all that were started may cost together.
        cost_bytes: What one costs at its peak, known before it starts.
        named: What errors call one; never by its path, which may name a patient.
        known: The result of a unit of which nothing is to be done.
        sent: What of a unit the function needs, where processes would be sent more than that.

    Raises:
        Exception: What the function raised, with a note that names the unit; units that have
            not started by then never do.
    """
    if memory_bytes < 1:
        msg = f"memory_bytes must be at least 1, got {memory_bytes}"
        raise ValueError(msg)
    pending: deque[tuple[Unit, Promise, int]] = deque()
    used = 0
    try:
        for unit in units:
            have = known(unit)
            cost = cost_bytes(unit) if have is None else 0
            # Twice the jobs: a slow unit at the head leaves the others something to do.
            while pending and (used + cost > memory_bytes or len(pending) >= 2 * pool.jobs):
                first, promise, freed = pending.popleft()
                yield first, _result(first, promise, named)
                used -= freed
            promise = pool.submit(function, sent(unit)) if have is None else _finished(have)
            pending.append((unit, promise, cost))
            used += cost
        while pending:
            first, promise, _ = pending.popleft()
            yield first, _result(first, promise, named)
    finally:
        for _, promise, _ in pending:
            promise.cancel()


def _finished(result: Result) -> "Future[Result]":
    future: Future[Result] = Future()
    future.set_result(result)
    return future


def _result(unit: Unit, promise: Promise, named: Callable[[Unit], str]) -> Any:
    try:
        return promise.result()
    except WorkerError as error:  # which knows of no unit
        msg = f"{named(unit)}: {error}"
        raise WorkerError(msg) from error
    except Exception as error:
        error.add_note(f"while working on {named(unit)}")
        raise
