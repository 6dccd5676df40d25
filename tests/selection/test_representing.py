"""Who stands for whom by the angle, counted one by one."""

import numpy as np
import pytest

from medssl.selection import _representing
from medssl.selection._representing import by_angle


@pytest.mark.parametrize(("at_once", "tile"), [(1 << 22, 4096), (17, 4096), (17, 2), (1 << 22, 1)])
def test_the_kept_row_at_the_smallest_angle_stands_for_each(monkeypatch, at_once, tile):
    monkeypatch.setattr(_representing, "AT_ONCE", at_once)
    monkeypatch.setattr(_representing, "TILE_ROWS", tile)
    monkeypatch.setattr(_representing, "PAIRS", at_once)
    values = np.random.default_rng(0).normal(size=(60, 4)) * np.arange(1, 61)[:, None]
    kept = np.array([41, 7, 0, 33, 12])
    selection = by_angle(values, kept)
    toward = values / np.linalg.norm(values, axis=1, keepdims=True)
    alike = toward @ toward[np.sort(kept)].T
    assert selection.kept.tolist() == [0, 7, 12, 33, 41]
    assert selection.stands_for.tolist() == np.sort(kept)[alike.argmax(axis=1)].tolist()
    np.testing.assert_allclose(selection.similarity, alike.max(axis=1).clip(0, 1), atol=1e-6)


@pytest.mark.parametrize("tile", [4096, 2, 1])
def test_of_equal_rows_that_are_kept_the_first_stands_for_the_others(monkeypatch, tile):
    monkeypatch.setattr(_representing, "TILE_ROWS", tile)
    values = np.repeat(np.eye(2), 3, axis=0)
    selection = by_angle(values, np.array([1, 2, 5]))
    assert selection.stands_for.tolist() == [1, 1, 2, 5, 5, 5]
    assert selection.similarity.tolist() == [1.0] * 6
