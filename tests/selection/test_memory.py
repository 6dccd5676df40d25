"""What selectors hold besides the rows that they are given, which may lie in a file."""

import tracemalloc
from dataclasses import replace

import numpy as np
import pytest

from medssl import selection
from medssl.selection import (
    DescriptorTable,
    _likeness,
    _representing,
    cluster_balance,
    facility_location,
    k_center,
    simcore,
)
from medssl.selection.cluster_balance import ClusterBalance
from medssl.selection.facility_location import FacilityLocation
from medssl.selection.k_center import KCenter
from medssl.selection.near_duplicates import NearDuplicates
from medssl.selection.simcore import SimCore
from medssl.selection.uniform import Uniform
from medssl.similarity import _greedy, _picked, cosine
from medssl.similarity.cosine import Cosine

ROWS, DIM = 3000, 512


@pytest.fixture
def table(monkeypatch):
    """Six megabytes of vectors in twelve directions or so; all that is done is done in little."""
    for module in (cosine, _likeness, k_center, _representing, facility_location):
        monkeypatch.setattr(module, "AT_ONCE", 1 << 15)
    monkeypatch.setattr(selection, "AT_ONCE", 256)
    for module in (simcore, cluster_balance):
        monkeypatch.setattr(module, "AT_ONCE", 64)
    for name, rows in (("BLOCK_ROWS", 32), ("TILE_ROWS", 64)):
        monkeypatch.setattr(_greedy, name, rows)
    monkeypatch.setattr(_representing, "PAIRS", 64)
    monkeypatch.setattr(_picked, "COPIED", 0)
    rng = np.random.default_rng(0)
    values = rng.normal(size=(12, DIM)).astype(np.float32)[rng.integers(12, size=ROWS)]
    values += 0.01 * rng.normal(size=values.shape).astype(np.float32)
    return DescriptorTable(values, np.arange(ROWS) % 5, np.arange(ROWS), target=values[:8].copy())


def peak_bytes(work):
    """Return the most memory that work takes, of what is there when it starts nothing counted."""
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("selector", "most"),
    [
        (NearDuplicates(similarity=Cosine(), scope="all"), 0.5),
        (NearDuplicates(similarity=Cosine(), scope="all", mode="sequential"), 0.5),
        (SimCore(centroids=4, budget=20), 0.5),
        (KCenter(budget=4), 0.5),
        (Uniform(budget=20), 0.5),
        # These need all directions at once, which are as large as the rows.
        (FacilityLocation(budget=4), 1.5),
        (ClusterBalance(clusters=3, budget=20), 2.1),  # of which k-means has a copy
    ],
    ids=lambda value: type(value).__name__,
)
@pytest.mark.parametrize("is_moved", [False, True])
def test_a_selector_makes_no_copies_of_its_rows(table, selector, most, is_moved):
    if is_moved:
        table = replace(table, order=np.random.default_rng(0).permutation(ROWS))
    selector(table.take(np.arange(50)))  # loads and compiles
    assert peak_bytes(lambda: selector(table)) < most * table.values.nbytes


def test_a_row_that_is_left_out_does_not_have_the_others_copied(table):
    rows = np.delete(np.arange(ROWS), 7)
    assert peak_bytes(lambda: table.take(rows)) < 0.2 * table.values.nbytes
    fewer = table.take(rows)
    selector = NearDuplicates(similarity=Cosine(), scope="all")
    assert peak_bytes(lambda: selector(fewer)) < 0.5 * table.values.nbytes


def test_images_are_told_apart_a_few_at_a_time(table, monkeypatch):
    monkeypatch.setattr(_likeness, "AT_ONCE", 1 << 18)
    images = np.random.default_rng(0).integers(256, size=(300, 128**2), dtype=np.uint8)
    rows = np.arange(300)
    # In float64 all of them are eight times what they are as bytes.
    shown = DescriptorTable(images, rows, rows)
    assert peak_bytes(lambda: Uniform(budget=3)(shown)) < 2 * images.nbytes
