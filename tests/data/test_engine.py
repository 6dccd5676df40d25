import itertools
import socket
import threading
import time

import pytest
from distributed import LocalCluster

from medssl.data.engine import map_bounded, open_pool
from medssl.errors import DataError


class Meter:
    """Counts what runs and what is held at a time."""

    def __init__(self):
        self.lock = threading.Lock()
        self.running, self.most_running, self.started = [], 0, []
        self.most_cost, self.beside = 0, {}

    def __call__(self, cost):
        with self.lock:
            self.started.append(cost)
            self.running.append(cost)
            self.most_running = max(self.most_running, len(self.running))
            self.most_cost = max(self.most_cost, sum(self.running))
            self.beside[cost] = len(self.running) - 1
        time.sleep(0.002)
        with self.lock:
            self.running.remove(cost)
        return -cost


def mapped(function, units, *, jobs=3, memory_bytes=1000, cost_bytes=lambda _: 1, named=str):
    with open_pool("threads", jobs) as pool:
        yield from map_bounded(
            function,
            units,
            pool=pool,
            memory_bytes=memory_bytes,
            cost_bytes=cost_bytes,
            named=lambda unit: f"unit {unit}",
        )


def test_results_come_in_the_order_of_the_units_though_the_first_is_the_slowest():
    def work(unit):
        time.sleep(0.03 if unit == 0 else 0)
        return unit * unit

    assert list(mapped(work, range(20))) == [(n, n * n) for n in range(20)]


def test_at_most_so_many_run_at_a_time_and_more_than_one_does():
    meter = Meter()
    list(mapped(meter, range(1, 30), jobs=3))
    assert meter.most_running in (2, 3)


def test_what_runs_together_never_costs_more_than_the_memory():
    meter = Meter()
    costs = [7, 5, 3, 11, 2, 8, 10, 4, 6, 9]
    list(mapped(meter, costs, memory_bytes=13, cost_bytes=lambda cost: cost))
    assert meter.started == costs
    assert 11 <= meter.most_cost <= 13


def test_a_unit_above_the_whole_memory_runs_alone():
    meter = Meter()
    list(mapped(meter, [2, 3, 99, 5, 7], memory_bytes=20, cost_bytes=lambda cost: cost))
    assert sorted(meter.started) == [2, 3, 5, 7, 99]
    assert meter.beside[99] == 0
    assert meter.most_cost == 99


def test_a_result_that_nobody_took_still_counts():
    meter = Meter()
    results = mapped(meter, [6, 6, 6], memory_bytes=10, cost_bytes=lambda cost: cost)
    next(results)
    time.sleep(0.02)
    assert len(meter.started) == 1


def test_units_are_taken_as_they_start():
    assert list(itertools.islice(mapped(lambda n: n, itertools.count()), 3))[-1] == (2, 2)


def test_an_error_is_raised_again_and_names_the_unit():
    def work(unit):
        if unit == "b":
            msg = "no good"
            raise KeyError(msg)
        return unit

    results = mapped(work, "abc", jobs=1)
    assert next(results) == ("a", "a")
    with pytest.raises(KeyError, match="no good") as caught:
        next(results)
    assert caught.value.__notes__ == ["while working on unit b"]


def test_after_an_error_nothing_new_starts():
    started = []

    def work(unit):
        started.append(unit)
        if unit == 0:
            msg = "no good"
            raise ValueError(msg)
        time.sleep(0.2)

    with pytest.raises(ValueError, match="no good"):
        list(mapped(work, range(50), jobs=2))
    assert 3 not in started


def test_what_was_taken_makes_room_for_the_next():
    meter = Meter()
    for number, _ in enumerate(mapped(meter, [5] * 40, memory_bytes=11, cost_bytes=lambda c: c)):
        if number == 20:
            meter.most_running = 0
    assert meter.most_running == 2


def test_no_memory_is_refused():
    with pytest.raises(ValueError, match="at least 1, got 0"):
        list(mapped(str, [1], memory_bytes=0))


def test_what_is_known_already_is_not_worked_on():
    with open_pool("threads", 2) as pool:
        done = map_bounded(
            lambda unit: -unit,
            range(6),
            pool=pool,
            memory_bytes=1,
            cost_bytes=lambda _: 1,
            named=str,
            known=lambda unit: 100 if unit % 2 else None,
        )
        assert list(done) == [(0, 0), (1, 100), (2, -2), (3, 100), (4, -4), (5, 100)]


@pytest.mark.long
def test_a_scheduler_that_is_not_there_is_named_with_what_to_do():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{free.getsockname()[1]}"
    with (
        pytest.raises(DataError, match=f"no Dask scheduler answers at {address}.*dask scheduler"),
        open_pool(address, 2),
    ):
        pass


@pytest.mark.slow
@pytest.mark.usefixtures("environment_kept")
def test_a_scheduler_has_its_own_number_of_workers_and_needs_one():
    with LocalCluster(
        n_workers=0, host="127.0.0.1", dashboard_address="127.0.0.1:0", memory_limit=0
    ) as cluster:
        with (
            pytest.raises(DataError, match="has no worker; start some with `dask worker`"),
            open_pool(cluster.scheduler_address, 2),
        ):
            pass
        cluster.scale(3)
        cluster.wait_for_workers(3)
        with open_pool(cluster.scheduler_address, 1) as pool:
            assert pool.jobs >= 3
            done = map_bounded(
                abs, [-1, 2], pool=pool, memory_bytes=9, cost_bytes=lambda _: 1, named=str
            )
            assert list(done) == [(-1, 1), (2, 2)]
