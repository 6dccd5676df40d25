"""What is kept in any case counts among what a selector is to keep."""

import numpy as np
import pytest

from medssl import lookup
from medssl.errors import DataError
from medssl.selection import NOBODY, Budgeted, DescriptorTable
from medssl.selection._sparing import Sparing
from medssl.selection.calibrated import Calibrated
from medssl.selection.near_duplicates import NearDuplicates
from medssl.selection.simcore import SimCore
from medssl.selection.uniform import Uniform

FAMILY = "medssl.selection"
NAMES = [n for n in lookup.names(FAMILY) if isinstance(lookup.build(FAMILY, n), Budgeted)]
SPARED = np.arange(50) % 6 == 0  # nine rows


@pytest.fixture
def table():
    values = np.random.default_rng(0).normal(size=(50, 4)).astype(np.float32)
    rows = np.arange(50)
    return DescriptorTable(values, rows % 7, rows, values[:5] + 0.1, rows % 2, ("a", "b"))


@pytest.mark.parametrize("name", NAMES)
def test_a_number_is_that_of_all_rows_whatever_they_are_kept_for(name, table):
    keys = {"selector": lookup.build(FAMILY, "k_center")} if name == "calibrated" else {}
    keys |= {"stop_ratio": None} if name == "simcore" else {}
    selector = lookup.build(FAMILY, name, budget=20, **keys)
    found = Sparing(selector, SPARED, beyond=3)(table)
    assert len(found.kept) == 17
    assert (np.diff(found.kept) > 0).all()
    np.testing.assert_array_equal(found.stands_for[found.kept], found.kept)
    np.testing.assert_array_equal(found.similarity[found.kept], 1)
    assert set(np.flatnonzero(SPARED)) < set(found.kept)
    assert set(found.stands_for) <= {*found.kept.tolist(), NOBODY}


def test_a_share_is_that_of_all_rows():
    values = np.arange(50.0)[:, None]
    table = DescriptorTable(values, np.zeros(50, int), np.arange(50))
    assert len(Sparing(Uniform(fraction=0.5), SPARED, beyond=10)(table).kept) == 20


@pytest.mark.parametrize(("budget", "kept"), [(5, 3), (8, 9), (9, 9)])
def test_a_limit_is_set_by_all_that_is_kept_in_the_end(budget, kept):
    # Nine hashes three bits apart, three of which are spared, come first, and are next to the rest.
    spared = np.isin(np.arange(9), [1, 4, 7])
    values = np.array([(1 << 3 * row) - 1 for row in range(9)], np.uint64)[:, None]
    order = np.argsort(np.lexsort((np.arange(9), ~spared)))
    table = DescriptorTable(values, np.zeros(9, int), order)
    found = Sparing(Calibrated(selector=NearDuplicates(), budget=budget), spared)(table)
    assert len(found.kept) == kept
    assert found.numbers["missed_rows"] == kept - budget
    assert set(found.stands_for) == set(found.kept)


def test_spared_rows_are_kept_though_a_limit_would_drop_them():
    values = np.zeros((5, 1), np.uint64)
    table = DescriptorTable(values, np.zeros(5, int), np.arange(5))
    spared = np.isin(np.arange(5), [0, 3])
    found = Sparing(Calibrated(selector=NearDuplicates(), budget=3), spared)(table)
    assert found.stands_for.tolist() == [0, 0, 0, 3, 0]
    assert found.numbers["missed_rows"] == -1


def test_a_rule_to_stop_stays_in_force(table):
    rule = {"patience": 1, "stop_ratio": 1.0}
    found = Sparing(SimCore(budget=40, **rule), SPARED)(table)
    (others,) = np.nonzero(~SPARED)
    alone = SimCore(budget=31, **rule)(table.take(others))
    assert len(alone.kept) < 31
    assert set(found.kept) - set(np.flatnonzero(SPARED)) == set(others[alone.kept])


@pytest.mark.parametrize("budget", [11, 12])
def test_a_number_that_leaves_none_to_choose_is_refused(table, budget):
    said = rf"{budget} of 53 rows are to be kept, but 12 are in any case \(three, nine\), which"
    with pytest.raises(DataError, match=said):
        Sparing(Uniform(budget=budget), SPARED, beyond=3, named="three, nine")(table)
