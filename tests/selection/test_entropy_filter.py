"""The entropy filter: limits, and who is told why."""

import numpy as np
import pytest

from medssl.errors import DataError
from medssl.selection import NOBODY, DescriptorTable
from medssl.selection.entropy_filter import EntropyFilter


def table(*rows):
    places = np.arange(len(rows))
    return DescriptorTable(np.array(rows, np.float32), places, places)


def test_rows_below_either_limit_are_dropped_and_nobody_stands_for_them():
    limits = EntropyFilter(least_bits=2.0, least_foreground=0.25)
    found = limits(table((2.0, 0.25), (1.5, 0.9), (7.0, 0.125), (7.0, 1.0)))
    assert found.kept.tolist() == [0, 3]
    assert found.stands_for.tolist() == [0, NOBODY, NOBODY, 3]
    np.testing.assert_array_equal(found.similarity, [1, np.nan, np.nan, 1])


def test_nothing_left_is_refused_and_the_most_there_is_is_told():
    with pytest.raises(DataError, match=r"the most are 1\.5 bits and 0\.5; lower the limits"):
        EntropyFilter(least_bits=3.0)(table((1.5, 0.1), (0.5, 0.5)))


@pytest.mark.parametrize("keys", [{"least_bits": 9.0}, {"least_foreground": -0.1}])
def test_a_limit_out_of_range_is_refused(keys):
    with pytest.raises(ValueError, match=f"{next(iter(keys))} must be in"):
        EntropyFilter(**keys)
