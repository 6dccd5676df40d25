"""Quotas: how the budget is divided, and that strata keep to themselves."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medssl.errors import ConfigError, DataError
from medssl.selection import NOBODY, DescriptorTable
from medssl.selection._allotting import allot
from medssl.selection.all import All
from medssl.selection.near_duplicates import NearDuplicates
from medssl.selection.quotas import Quotas
from medssl.similarity.cosine import Cosine

NAMES = ("rare", "common", "unheard")
STRATUM = np.repeat([0, 1], [5, 95])


@pytest.fixture
def table():
    rng = np.random.default_rng(0)
    moved = rng.permutation(100)
    values = rng.normal(size=(100, 4))
    rows = np.arange(100)
    return DescriptorTable(values, rows, rows, stratum=STRATUM[moved], strata=NAMES)


@pytest.mark.parametrize(
    ("shares", "budget", "counts"),
    [
        (None, 8, [4, 4]),
        (None, 30, [5, 25]),
        ({"rare": 1, "common": 3}, 8, [2, 6]),
        ({"rare": 0, "common": 1}, 8, [0, 8]),
        ({"rare": 1, "common": 0}, 8, [5, 0]),
    ],
)
@pytest.mark.parametrize("selector", [None, NearDuplicates(similarity=Cosine(), scope="all")])
def test_strata_keep_their_shares_and_rows_stand_for_their_own(
    table, shares, budget, counts, selector
):
    inner = {} if selector is None else {"selector": selector}
    found = Quotas(shares=shares, budget=budget, **inner)(table)
    kept = np.bincount(table.stratum[found.kept], minlength=2)
    # A limit comes as near to a number as it can.
    np.testing.assert_allclose(kept, counts, atol=0 if selector is None else 1)
    told = found.stands_for != NOBODY
    np.testing.assert_array_equal(table.stratum[found.stands_for[told]], table.stratum[told])
    assert set(table.stratum[~told].tolist()) == {s for s, count in enumerate(counts) if not count}


@given(
    st.integers(1, 60),
    st.lists(st.tuples(st.integers(0, 20), st.sampled_from([0.0, 0.5, 1.0, 3.0])), min_size=1),
)
def test_what_is_allotted_adds_up_and_fits(budget, heaps):
    sizes, shares = (np.array(each) for each in zip(*heaps, strict=True))
    counts = allot(budget, sizes, shares.astype(float))
    assert counts.sum() == min(budget, sizes[shares > 0].sum())
    assert (counts <= sizes).all()
    assert (counts >= 0).all()
    assert (counts[shares == 0] == 0).all()
    # Of two that are not used up none is further than a row from its share.
    (left,) = np.nonzero((counts < sizes) & (shares > 0))
    each = counts[left] / shares[left]
    assert len(left) < 2 or (each.max() - each.min() <= 1 / shares[left].min() + 1e-9)


@pytest.mark.parametrize(
    ("budget", "sizes", "shares", "counts"),
    [
        (10, [99, 99, 99], [1, 1, 1], [4, 3, 3]),
        (11, [99, 99, 99], [1, 1, 1], [4, 4, 3]),
        (10, [99, 99, 99], [0.1, 0.6, 0.3], [1, 6, 3]),
        (7, [2, 99, 99], [1, 1, 1], [2, 3, 2]),
        (9, [2, 3, 99], [5, 5, 1], [2, 3, 4]),
        (3, [99, 99], [1, 2], [1, 2]),
        (7, [99, 4, 99], [0, 1, 0], [0, 4, 0]),
    ],
)
def test_what_does_not_divide_goes_to_the_largest_remainders(budget, sizes, shares, counts):
    assert allot(budget, np.array(sizes), np.array(shares, float)).tolist() == counts


@pytest.mark.parametrize(
    ("shares", "line"),
    [
        ({"rare": 1}, r"none for \['common'\]; the strata are \['common', 'rare'\]"),
        ({"rare": 1, "common": 1, "other": 2}, r"there is no stratum \['other'\]"),
    ],
)
def test_shares_of_other_strata_are_refused(table, shares, line):
    with pytest.raises(DataError, match=line):
        Quotas(shares=shares)(table)


def test_a_table_without_strata_is_refused():
    rows = np.arange(3)
    with pytest.raises(DataError, match="quotas needs strata: set `stratify_by`"):
        Quotas()(DescriptorTable(np.eye(3), rows, rows))


def test_shares_that_are_none_are_refused():
    for shares in ({"a": -1.0, "b": 2.0}, {"a": 0.0}, {}):
        with pytest.raises(ValueError, match="shares must be at least 0, and one of them above"):
            Quotas(shares=shares)


def test_a_selector_that_cannot_be_told_how_many_is_refused():
    with pytest.raises(ConfigError, match="All cannot be told how many rows to keep"):
        Quotas(selector=All())
