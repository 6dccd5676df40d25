"""Worker processes: how long they stay, and what becomes of the work of one that dies."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from medssl.data.engine import map_bounded, open_pool
from medssl.errors import WorkerError

pytestmark = pytest.mark.slow


def die_once(unit):
    """Kill the process that works on it, the first time."""
    number, folder = unit
    mark = Path(folder) / "died"
    if number == 3 and not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return number * number, os.getpid()


def die(unit):
    """Kill the process that works on it."""
    if unit == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return unit


def mapped(function, units, pool):
    return map_bounded(
        function,
        units,
        pool=pool,
        memory_bytes=1000,
        cost_bytes=lambda _: 1,
        named="unit {}".format,
    )


def test_work_of_a_process_that_is_killed_is_done_by_another(tmp_path):
    units = [(number, str(tmp_path)) for number in range(8)]
    environment = dict(os.environ)
    with open_pool("processes", 2) as pool:
        done = list(mapped(die_once, units, pool))
    assert (tmp_path / "died").exists()
    assert [square for _, (square, _) in done] == [number * number for number in range(8)]
    assert os.getpid() not in {pid for _, (_, pid) in done}
    assert dict(os.environ) == environment  # a thread for each worker is no rule for us


def test_work_that_kills_all_who_do_it_is_named_and_what_comes_later_is_done():
    with open_pool("processes", 2) as pool:
        done = mapped(die, range(6), pool)
        assert [unit for unit, _ in (next(done), next(done), next(done))] == [0, 1, 2]
        with pytest.raises(WorkerError, match=r"^unit 3: 3 worker processes"):
            next(done)
        assert pool.submit(abs, -1).result() == 1


def test_a_process_has_one_thread_and_what_it_raises_is_raised_where_it_is_waited_for():
    with open_pool("processes", 1) as pool:
        assert pool.submit(os.getenv, "OMP_NUM_THREADS").result() == "1"
        work = pool.submit(int, "one")
        with pytest.raises(ValueError, match="invalid literal"):
            work.result()


PROGRAM = """
import os
from medssl.data.engine import open_pool
from medssl.data.processes import processes_kept

def pid():
    with open_pool("processes", 1) as pool:
        return pool.submit(eval, "__import__('os').getpid()").result()

if __name__ == "__main__":
    print(pid(), pid(), flush=True)
    with processes_kept():
        print(pid(), pid(), flush=True)
        os.kill(os.getpid(), 9)
"""


def test_processes_are_of_a_stage_or_kept_and_end_with_the_one_that_they_work_for():
    run = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=False
    )
    assert run.returncode == -signal.SIGKILL, run.stderr
    one, other, kept, same = map(int, run.stdout.split())
    assert kept == same
    assert len({one, other, kept}) == 3
    found = [process for process in psutil.process_iter() if process.pid in {one, other, kept}]
    psutil.wait_procs(found, timeout=10)
    assert not any(process.is_running() for process in found)


CANCELLED = """
import os, time
from medssl.data.engine import open_pool

if __name__ == "__main__":
    with open_pool("processes", 1) as pool:
        pid = pool.submit(eval, "__import__('os').getpid()").result()
        works = [pool.submit(time.sleep, 60) for _ in range(4)]
        works[-1].cancel()
        os.kill(pid, 9)
        time.sleep(0.5)  # for Python to find it dead
"""


def test_a_process_that_dies_after_work_was_cancelled_leaves_no_word():
    run = subprocess.run(
        [sys.executable, "-c", CANCELLED], capture_output=True, text=True, check=False, timeout=30
    )
    assert (run.returncode, run.stdout, run.stderr) == (0, "", "")


INTERRUPTED = """
import os, signal, sys, time
from medssl.data.engine import map_bounded, open_pool

def work(unit):
    print("began", unit, flush=True)
    time.sleep(0.2)

def units():
    for unit in range(100):
        if unit == 3:
            time.sleep(float(sys.argv[1]))
            os.killpg(0, signal.SIGINT)
        yield unit

if __name__ == "__main__":
    try:
        with open_pool("processes", 2) as pool:
            list(map_bounded(work, units(), pool=pool, memory_bytes=100,
                             cost_bytes=lambda _: 1, named=str))
    except KeyboardInterrupt:
        print("interrupted")
"""


@pytest.mark.parametrize("after_s", [0.0, 0.1, 0.3, 1.0])
def test_an_interrupt_ends_all_without_a_word_from_processes(tmp_path, after_s):
    program = tmp_path / "interrupted.py"
    program.write_text(INTERRUPTED)
    run = subprocess.run(
        [sys.executable, str(program), str(after_s)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        start_new_session=True,
    )
    assert (run.returncode, run.stderr) == (0, "")
    said = run.stdout.splitlines()
    assert "interrupted" in said
    assert len(said) < 10  # units that had not been started never were
