"""Many units of work side by side, within a memory budget, their results in order.

Threads suffice: what the units do (decompress, resample, compress) releases the interpreter.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Unit = TypeVar("Unit")
Result = TypeVar("Result")


def map_bounded(
    function: Callable[[Unit], Result],
    units: Iterable[Unit],
    *,
    jobs: int,
    memory_bytes: int,
    cost_bytes: Callable[[Unit], int],
) -> Iterator[tuple[Unit, Result]]:
    """Yield each unit with its result, in the units' order.

    A unit's cost is held from its start until its result has been taken. Units start in order;
    the next waits while it does not fit, and one above the whole budget runs alone.

    Args:
        function: What to do with a unit; called from several threads at once.
        units: Consumed as they are started, so they may be without end.
        jobs: How many run at a time.
        memory_bytes: What all that were started may cost together.
        cost_bytes: What one costs at its peak, known before it starts.

    Raises:
        Exception: What the function raised, with a note that names the unit; units that have
            not started by then never do.
    """
    if jobs < 1 or memory_bytes < 1:
        msg = f"jobs and memory_bytes must be at least 1, got {jobs} and {memory_bytes}"
        raise ValueError(msg)
    pending: deque[tuple[Unit, Future[Result], int]] = deque()
    used = 0
    pool = ThreadPoolExecutor(jobs)
    try:
        for unit in units:
            cost = cost_bytes(unit)
            # Twice the jobs: a slow unit at the head leaves the others something to do.
            while pending and (used + cost > memory_bytes or len(pending) >= 2 * jobs):
                first, future, freed = pending.popleft()
                yield first, _result(first, future)
                used -= freed
            pending.append((unit, pool.submit(function, unit), cost))
            used += cost
        while pending:
            first, future, _ = pending.popleft()
            yield first, _result(first, future)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _result(unit: Unit, future: Future[Result]) -> Result:
    error = future.exception()
    if error is not None:
        error.add_note(f"while working on {unit!r}")
        raise error
    return future.result()
