"""Calibrated: the limit that keeps as many as asked, or as near as there is."""

import numpy as np
import pytest

from medssl.errors import ConfigError
from medssl.selection import DescriptorTable
from medssl.selection.all import All
from medssl.selection.calibrated import Calibrated
from medssl.selection.entropy_filter import EntropyFilter
from medssl.selection.every_n import EveryN
from medssl.selection.near_duplicates import NearDuplicates
from medssl.selection.simcore import SimCore
from medssl.similarity.cosine import Cosine
from medssl.similarity.hamming import Hamming


def hashes():
    """Ten walks of thirty steps."""
    rng = np.random.default_rng(0)
    steps = np.uint64(1) << rng.integers(64, size=(10, 30), dtype=np.uint64)
    steps[:, 0] = rng.integers(2**64, size=10, dtype=np.uint64)
    walks = np.bitwise_xor.accumulate(steps, axis=1).reshape(-1, 1)
    return DescriptorTable(walks, np.repeat(np.arange(10), 30), np.arange(300))


def vectors():
    walks = np.cumsum(np.random.default_rng(0).normal(size=(10, 30, 6)), axis=1)
    return DescriptorTable(walks.reshape(300, 6), np.repeat(np.arange(10), 30), np.arange(300))


@pytest.mark.parametrize("budget", [10, 37, 90, 200, 300])
def test_the_nearest_of_all_radii_is_found(budget):
    table = hashes()
    found = Calibrated(budget=budget)(table)
    counts = [
        len(NearDuplicates(similarity=Hamming(radius=radius))(table).kept) for radius in range(65)
    ]
    assert abs(len(found.kept) - budget) == min(abs(count - budget) for count in counts)
    assert found.numbers["missed_rows"] == len(found.kept) - budget
    again = NearDuplicates(similarity=Hamming(radius=-round(found.numbers["level"])))(table)
    assert again.kept.tolist() == found.kept.tolist()


@pytest.mark.parametrize("mode", ["exemplar", "sequential"])
@pytest.mark.parametrize("fraction", [0.1, 0.33, 0.8])
def test_a_share_is_met_to_a_row_a_group(mode, fraction):
    selector = NearDuplicates(similarity=Cosine(), mode=mode)
    found = Calibrated(selector=selector, fraction=fraction)(vectors())
    assert abs(len(found.kept) - 300 * fraction) <= 10
    assert len(found.kept) == 300 * fraction + found.numbers["missed_rows"]
    # What stands for what is as it is at that limit.
    again = selector.at(found.numbers["level"])(vectors())
    assert again.stands_for.tolist() == found.stands_for.tolist()


def test_steps_are_calibrated():
    found = Calibrated(selector=EveryN(), fraction=0.88)(vectors())
    assert abs(len(found.kept) - 264) <= 10


def test_a_filter_is_calibrated():
    rng = np.random.default_rng(0)
    content = np.stack([rng.uniform(0, 8, 100), np.ones(100)], axis=1)
    table = DescriptorTable(content, np.arange(100), np.arange(100))
    found = Calibrated(selector=EntropyFilter(), budget=30)(table)
    assert found.kept.tolist() == sorted(np.argsort(-content[:, 0])[:30].tolist())


@pytest.mark.parametrize("least_foreground", [0.0, 0.5])
def test_a_filter_is_calibrated_where_no_row_has_many_bits(least_foreground):
    rng = np.random.default_rng(0)
    content = np.stack([rng.uniform(0, 0.2, 100), rng.uniform(size=100)], axis=1)
    content[3] = 7.9, 0.4  # whose bits do not count if it is not foreground enough
    table = DescriptorTable(content.astype(np.float32), np.arange(100), np.arange(100))
    selector = EntropyFilter(least_foreground=least_foreground)
    able = np.flatnonzero(content[:, 1] >= least_foreground)
    for budget in (1, 20):
        found = Calibrated(selector=selector, budget=budget)(table)
        expected = able[np.argsort(-content[able, 0])[:budget]]
        assert found.kept.tolist() == sorted(expected.tolist())


@pytest.mark.parametrize(("budget", "kept"), [(12, 12), (50, 20)])
def test_a_budget_that_cannot_be_filled_is_told(budget, kept):
    values = np.random.default_rng(0).normal(size=(60, 5)).astype(np.float32)
    groups = np.repeat(np.arange(10), 6)
    table = DescriptorTable(values, groups, np.arange(60), target=values[:4])
    found = Calibrated(selector=SimCore(most_of_group=2), budget=budget)(table)
    assert len(found.kept) == kept
    assert found.numbers["missed_rows"] == kept - budget


def test_a_selector_that_cannot_be_set_is_refused():
    with pytest.raises(ConfigError, match="All has no limit and no budget that could be set"):
        Calibrated(selector=All())
