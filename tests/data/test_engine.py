import itertools
import threading
import time

import pytest

from medssl.data.engine import map_bounded


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


def mapped(function, units, *, jobs=3, memory_bytes=1000, cost_bytes=lambda _: 1):
    return map_bounded(function, units, jobs=jobs, memory_bytes=memory_bytes, cost_bytes=cost_bytes)


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
    assert caught.value.__notes__ == ["while working on 'b'"]


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


@pytest.mark.parametrize(("jobs", "memory"), [(0, 5), (2, 0)])
def test_no_jobs_or_no_memory_are_refused(jobs, memory):
    with pytest.raises(ValueError, match=f"at least 1, got {jobs} and {memory}"):
        list(mapped(str, [1], jobs=jobs, memory_bytes=memory))
