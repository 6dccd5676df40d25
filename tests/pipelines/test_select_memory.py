"""What the stage `select` holds of its rows: them, and little beside."""

import tracemalloc

import numpy as np
import pytest
from selections import audit, select, write_cases, write_rows

from medssl import selection
from medssl.selection import _representing
from medssl.similarity import _greedy, _picked, cosine
from pipelines import _parts

CASES, SLICES, DIM = 20, 150, 256


def peak_bytes(work):
    """Return the most memory that work takes, of what is there when it starts nothing counted."""
    tracemalloc.start()
    try:
        assert work() == 0
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_one_blank_row_does_not_have_all_vectors_copied(tmp_path, monkeypatch):
    monkeypatch.setattr(_parts, "PART_ROWS", 2 * SLICES)
    monkeypatch.setattr(_picked, "COPIED", 0)
    monkeypatch.setattr(cosine, "AT_ONCE", 1 << 15)
    for name, rows in (("BLOCK_ROWS", 32), ("TILE_ROWS", 64)):
        monkeypatch.setattr(_greedy, name, rows)
    monkeypatch.setattr(_representing, "PAIRS", 64)
    monkeypatch.setattr(selection, "AT_ONCE", 256)
    monkeypatch.setattr("pipelines._selecting.SAMPLED_PAIRS", 10)
    rng = np.random.default_rng(0)
    values = rng.normal(size=(8, DIM))[rng.integers(8, size=(CASES, SLICES))].astype(np.float32)
    blank = np.zeros((CASES, SLICES), bool)
    blank[7, 30] = True
    names = [f"c{number}" for number in range(CASES)]
    write_cases(tmp_path, *[{"case_id": name} for name in names], shape=(8, 8, SLICES))
    rows = zip(names, [range(SLICES)] * CASES, values, blank, strict=True)
    write_rows(tmp_path, "vector", *rows)

    def work():
        return select(tmp_path, "deep_net", within="all")

    work()  # loads what there is to load
    assert peak_bytes(work) < 2 * values.nbytes
    reasons = [row["reason"] for row in audit(tmp_path)]
    assert (reasons.count("kept"), reasons.count("blank")) == (8, 1)


@pytest.mark.parametrize("within", ["case", "all"])
def test_a_row_of_a_hash_takes_a_few_numbers_more(tmp_path, within):
    slices, names = 1000, [f"c{number}" for number in range(CASES)]
    steps = np.random.default_rng(0).integers(64, size=(CASES, slices), dtype=np.uint64)
    hashes = np.bitwise_xor.accumulate(np.uint64(1) << steps, axis=1)[..., None]
    blank = np.arange(slices) % 100 == 0
    write_cases(tmp_path, *[{"case_id": name} for name in names], shape=(8, 8, slices))
    rows = [(name, range(slices), one, blank) for name, one in zip(names, hashes, strict=True)]
    write_rows(tmp_path, "hash", *rows)

    def work():
        return select(tmp_path, within=within)

    work()
    assert peak_bytes(work) < MOST_BYTES * CASES * slices


MOST_BYTES = 450  # a row
