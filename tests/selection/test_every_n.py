"""Every n-th row, counted by hand."""

import numpy as np
import pytest

from medssl.errors import DataError
from medssl.selection import DescriptorTable
from medssl.selection.every_n import EveryN


def line(num_rows, group=None, order=None):
    rows = np.arange(num_rows)
    return DescriptorTable(
        rows[:, None] / 1.0,
        np.zeros_like(rows) if group is None else np.array(group),
        rows if order is None else np.array(order),
    )


@pytest.mark.parametrize(
    ("n", "kept"), [(3, [0, 3, 6, 9]), (1, list(range(10))), (10, [0]), (11, [0])]
)
def test_it_keeps_the_first_and_every_nth_after_it(n, kept):
    assert EveryN(n=n)(line(10)).kept.tolist() == kept


def test_the_last_kept_stands_for_those_after_it():
    selection = EveryN(n=3)(line(7))
    assert selection.stands_for.tolist() == [0, 0, 0, 3, 3, 3, 6]
    assert selection.similarity.tolist() == pytest.approx([1, 1 / 2, 1 / 3, 1, 1 / 2, 1 / 3, 1])


def test_each_group_is_counted_by_itself_and_in_its_order():
    selection = EveryN(n=2)(line(6, group=[4, 4, 9, 4, 9, 9], order=[3, 2, 6, 1, 5, 4]))
    assert selection.stands_for.tolist() == [0, 3, 2, 3, 5, 5]
    assert selection.kept.tolist() == [0, 2, 3, 5]


def test_a_step_below_1_is_refused():
    with pytest.raises(ValueError, match="n must be at least 1, got 0"):
        EveryN(n=0)


@pytest.mark.parametrize(("n", "kept"), [(1.5, [0, 2, 3, 5, 6, 8, 9]), (2.5, [0, 3, 5, 8])])
def test_a_step_that_is_not_whole_is_kept_on_average(n, kept):
    assert EveryN(n=n)(line(10)).kept.tolist() == kept


@pytest.mark.parametrize("share", [0.07, 0.3, 0.88])
def test_the_knob_is_the_share_that_is_kept(share):
    assert len(EveryN().at(share)(line(10_000)).kept) == pytest.approx(10_000 * share, abs=1)


def test_a_group_without_rows_keeps_none_and_a_table_without_rows_is_refused():
    table = line(5, group=[0, 0, 2, 2, 2])  # none is of group 1
    assert EveryN(n=2)(table).kept.tolist() == [0, 2, 4]
    with pytest.raises(DataError, match="expected descriptors of at least one row, got none"):
        line(0)
