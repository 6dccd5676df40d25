"""A uniform draw: its size, its seed, and that no row is favored."""

import numpy as np
import pytest

from medssl.selection import DescriptorTable
from medssl.selection.uniform import Uniform


def line(num_rows):
    rows = np.arange(num_rows)
    return DescriptorTable(rows[:, None].astype(np.uint64), np.zeros_like(rows), rows)


@pytest.mark.parametrize(
    ("num_rows", "fraction", "kept"), [(10, 0.3, 3), (1000, 0.117, 117), (3, 0.01, 1), (7, 1.0, 7)]
)
def test_it_keeps_exactly_the_share_and_at_least_one(num_rows, fraction, kept):
    assert len(Uniform(fraction=fraction)(line(num_rows)).kept) == kept


def test_another_seed_keeps_others():
    one, other = (Uniform(fraction=0.5, seed=seed)(line(100)).kept for seed in (1, 2))
    assert one.tolist() != other.tolist()


def test_each_row_is_kept_equally_often():
    draws = 2000
    counts = np.zeros(10)
    for seed in range(draws):
        counts[Uniform(fraction=0.3, seed=seed)(line(10)).kept] += 1
    # Five deviations of a binomial count.
    assert np.abs(counts - 0.3 * draws).max() < 5 * np.sqrt(draws * 0.3 * 0.7)


def test_the_last_kept_before_a_row_stands_for_it():
    selection = Uniform(fraction=0.3, seed=5)(line(10))
    kept = selection.kept.tolist()
    expected = [max([k for k in kept if k <= row], default=kept[0]) for row in range(10)]
    assert selection.stands_for.tolist() == expected
    bits = [(row ^ stand).bit_count() for row, stand in enumerate(expected)]
    assert selection.similarity.tolist() == pytest.approx([1 - b / 64 for b in bits])


@pytest.mark.parametrize("fraction", [0.0, -0.1, 1.1])
def test_a_fraction_outside_the_unit_interval_is_refused(fraction):
    with pytest.raises(ValueError, match=rf"fraction must be in \(0, 1\], got {fraction}"):
        Uniform(fraction=fraction)
