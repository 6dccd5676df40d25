"""What all selectors with a budget make of one."""

import numpy as np
import pytest

from medssl import lookup
from medssl.errors import DataError
from medssl.selection import Budgeted, DescriptorTable

FAMILY = "medssl.selection"
NAMES = [n for n in lookup.names(FAMILY) if isinstance(lookup.build(FAMILY, n), Budgeted)]


@pytest.fixture
def table():
    rng = np.random.default_rng(0)
    values = rng.normal(size=(50, 4)).astype(np.float32)
    rows = np.arange(50)
    target = values[:5] + 0.1
    return DescriptorTable(values, rows % 7, rows, target, rows % 2, ("a", "b"))


def selector(name, **keys):
    inner = {"selector": lookup.build(FAMILY, "k_center")} if name == "calibrated" else {}
    return lookup.build(FAMILY, name, **inner, **keys)


def test_there_are_some():
    assert len(NAMES) == 7


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("budget", [1, 13, 50])
def test_it_is_kept_to_the_row(name, table, budget):
    assert len(selector(name).keeping(budget)(table).kept) == budget


@pytest.mark.parametrize("name", NAMES)
def test_it_goes_before_a_fraction(name, table):
    stop = {"stop_ratio": None} if name == "simcore" else {}
    assert len(selector(name, fraction=0.2, **stop)(table).kept) == 10
    assert len(selector(name, fraction=0.2, budget=3, **stop)(table).kept) == 3


@pytest.mark.parametrize("name", NAMES)
def test_more_than_there_is_is_refused(name, table):
    with pytest.raises(DataError, match="the budget is 51 rows, but there are only 50 to choose"):
        selector(name, budget=51)(table)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("keys", "line"),
    [({"fraction": 0.0}, "fraction must be in"), ({"budget": 0}, "budget must be at least 1")],
)
def test_what_can_be_no_share_and_no_number_is_refused(name, keys, line):
    with pytest.raises(ValueError, match=line):
        selector(name, **keys)
