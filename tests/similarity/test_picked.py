"""Rows that are left where they lie: what is looked at is what was picked, and no more is held."""

import pickle

import numpy as np
import pytest

from medssl.similarity import _picked
from medssl.similarity._picked import Picked, picked

ROWS = np.array([4, 1, 1, 7, 0])


@pytest.fixture
def source():
    return np.random.default_rng(0).normal(size=(9, 3)).astype(np.float32)


@pytest.mark.parametrize(
    "key", [2, -1, slice(1, 4), slice(None), np.array([3, 0]), np.array([True, False] * 2 + [True])]
)
def test_what_is_looked_at_is_what_was_picked(source, key):
    rows = Picked(source, ROWS)
    np.testing.assert_array_equal(rows[key], source[ROWS][key])
    assert (len(rows), rows.shape, rows.dtype, rows.itemsize) == (5, (5, 3), np.float32, 4)


def test_it_is_an_array_for_whoever_wants_one(source):
    rows = Picked(source, ROWS)
    np.testing.assert_array_equal(np.asarray(rows), source[ROWS])
    assert np.asarray(rows, np.float64).dtype == np.float64


def test_whoever_is_sent_rows_is_sent_no_others(source):
    sent = pickle.dumps(Picked(np.repeat(source, 1000, axis=0), ROWS))
    assert len(sent) < 1000
    np.testing.assert_array_equal(pickle.loads(sent), np.repeat(source, 1000, axis=0)[ROWS])


def test_few_rows_are_copied_and_many_are_not(source, monkeypatch):
    monkeypatch.setattr(_picked, "COPIED", 4 * 3 * 4)  # four rows
    four, five = picked(source, ROWS[:4]), picked(source, ROWS)
    assert isinstance(four, np.ndarray)
    assert isinstance(five, Picked)
    for found, rows in ((four, ROWS[:4]), (five, ROWS)):
        np.testing.assert_array_equal(np.asarray(found), source[rows])


def test_rows_of_picked_rows_are_picked_from_where_they_lie(source, monkeypatch):
    monkeypatch.setattr(_picked, "COPIED", 0)
    rows = picked(source, np.array([8, 2, 3, 4, 0]))
    again = picked(rows, np.array([4, 0]))
    assert again.source is source
    np.testing.assert_array_equal(np.asarray(again), source[[0, 8]])
    # These follow one another where they lie.
    assert np.shares_memory(picked(rows, np.array([1, 2, 3])), source)
