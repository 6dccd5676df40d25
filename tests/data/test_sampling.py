from collections import Counter
from itertools import chain

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medssl.data.sampling import Epochs
from medssl.errors import ConfigError, DataError

TEN = np.arange(10)


def test_an_epoch_shuffles_all_cases_anew():
    draws = list(chain.from_iterable(Epochs(TEN, 15, 2, seed=0)))
    epochs = [[row for epoch, row in draws if epoch == wanted] for wanted in range(3)]
    assert [sorted(rows) for rows in epochs] == [TEN.tolist()] * 3
    assert epochs[0] != epochs[1] != epochs[2]
    assert epochs[0] != sorted(epochs[0])


def test_another_seed_gives_other_batches():
    one, other = (list(Epochs(TEN, 5, 2, seed=seed)) for seed in (0, 1))
    assert one == list(Epochs(TEN, 5, 2, seed=0))
    assert one != other


def test_cases_that_fill_no_batch_take_turns_in_sitting_out():
    draws = list(chain.from_iterable(Epochs(TEN, 200, 8, seed=0)))
    assert Counter(epoch for epoch, _ in draws) == dict.fromkeys(range(200), 8)
    counts = Counter(row for _, row in draws)
    assert set(counts) == set(range(10))
    assert all(130 < count < 190 for count in counts.values())


def test_each_pair_of_cases_meets_in_a_batch():
    met = Counter(frozenset(row for _, row in batch) for batch in Epochs(TEN, 6000, 2, seed=0))
    assert len(met) == 45
    assert max(met.values()) < 2 * min(met.values())


subjects = st.lists(st.integers(0, 6), min_size=1, max_size=30)


@settings(deadline=None)
@given(subjects, st.integers(1, 8), st.integers(0, 3))
def test_a_batch_holds_as_few_cases_of_a_subject_as_can_be(numbers, batch_size, seed):
    batch_size = min(batch_size, len(numbers))
    num_batches = len(numbers) // batch_size
    most = -(-max(Counter(numbers).values()) // num_batches)
    for batch in Epochs(np.array(numbers), 2 * num_batches, batch_size, seed):
        rows = [row for _, row in batch]
        assert len(set(rows)) == batch_size
        assert max(Counter(numbers[row] for row in rows).values()) <= most


def test_the_cases_of_a_subject_do_not_follow_each_other():
    subjects = np.arange(40) // 2
    batches = list(Epochs(subjects, 10, 4, seed=0))
    place = {row: step for step, batch in enumerate(batches) for _, row in batch}
    apart = [abs(place[2 * subject] - place[2 * subject + 1]) for subject in range(20)]
    # Two of ten batches at random are 11 / 3 apart on average.
    assert np.mean(apart) == pytest.approx(11 / 3, abs=1)


@pytest.mark.parametrize(("cases", "batch_size"), [(1, 2), (2, 8), (3, 7)])
def test_fewer_cases_than_a_batch_holds_come_again_in_the_next_epochs(cases, batch_size):
    batches = list(Epochs(np.arange(cases), 30, batch_size, seed=0))
    draws = list(chain.from_iterable(batches))
    assert {len(batch) for batch in batches} == {batch_size}
    assert len(set(draws)) == len(draws)
    assert [epoch for epoch, _ in draws] == [draw // cases for draw in range(30 * batch_size)]
    whole = len(draws) // cases
    assert Counter(row for _, row in draws[: whole * cases]) == dict.fromkeys(range(cases), whole)


@settings(deadline=None)
@given(subjects, st.integers(1, 8), st.integers(0, 3))
def test_what_is_carried_over_is_in_each_epoch_once(numbers, batch_size, seed):
    size = min(batch_size, len(numbers))
    batches = list(Epochs(np.array(numbers), 40, size, seed, last_batch="carry"))
    draws = list(chain.from_iterable(batches))
    assert {len(batch) for batch in batches} == {size}
    assert [epoch for epoch, _ in draws] == [draw // len(numbers) for draw in range(40 * size)]
    whole = len(draws) // len(numbers)
    epochs = [draws[len(numbers) * epoch :][: len(numbers)] for epoch in range(whole)]
    assert all(sorted(row for _, row in one) == [*range(len(numbers))] for one in epochs)


def test_what_is_carried_over_meets_other_subjects():
    # 21 cases of 7 subjects in batches of 4: an epoch has 5 and a case over, or 4 whole ones.
    numbers = np.arange(21) % 7
    batches = list(Epochs(numbers, 300, 4, seed=0, last_batch="carry"))
    across = [batch for batch in batches if len({epoch for epoch, _ in batch}) == 2]
    assert len(across) > 40
    for batch in batches:
        assert len({numbers[row] for _, row in batch}) == 4


def test_each_case_is_as_often_among_those_carried_over():
    counts = Counter(
        row
        for batch in Epochs(TEN, 2500, 4, seed=0, last_batch="carry")
        for epoch, row in batch
        if epoch < max(epoch for epoch, _ in batch)
    )
    assert set(counts) == set(range(10))
    assert max(counts.values()) < 1.5 * min(counts.values())


def test_where_epochs_are_whole_batches_nothing_is_carried_over():
    assert list(Epochs(TEN, 20, 5, 0, last_batch="carry")) == list(Epochs(TEN, 20, 5, 0))


@pytest.mark.parametrize("last_batch", ["drop", "carry"])
@pytest.mark.parametrize(("cases", "batch_size"), [(10, 3), (10, 10), (2, 8), (5, 4)])
def test_a_later_start_gives_the_tail_of_the_whole_run(cases, batch_size, last_batch):
    whole = list(Epochs(np.arange(cases), 17, batch_size, seed=5, last_batch=last_batch))
    for start in range(21):
        tail = Epochs(
            np.arange(cases), 17, batch_size, seed=5, last_batch=last_batch, start_step=start
        )
        assert list(tail) == whole[start:]
        assert len(tail) == len(whole[start:])


@pytest.mark.parametrize("last_batch", ["drop", "carry"])
@pytest.mark.parametrize("cases", [2, 10])
def test_the_ranks_share_the_batches_of_one_process(cases, last_batch):
    whole = list(Epochs(np.arange(cases), 9, 6, seed=0, last_batch=last_batch))
    ranks = [
        list(Epochs(np.arange(cases), 9, 6, seed=0, last_batch=last_batch, rank=rank, num_ranks=3))
        for rank in range(3)
    ]
    for batch, *shares in zip(whole, *ranks, strict=True):
        assert {len(share) for share in shares} == {2}
        assert sorted(chain.from_iterable(shares)) == sorted(batch)


def test_an_empty_split_is_refused():
    with pytest.raises(DataError, match="expected cases to draw from, got none"):
        Epochs(TEN[:0], 1, 1, seed=0)


def test_a_batch_that_ranks_cannot_share_evenly_is_refused():
    with pytest.raises(ConfigError, match="multiple of the 3 processes, got 8"):
        Epochs(TEN, 1, 8, seed=0, num_ranks=3)
