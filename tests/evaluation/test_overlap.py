"""Overlap against its definitions, written out over all voxels."""

import numpy as np
import pytest
from scipy import ndimage

from medssl.errors import DataError
from medssl.evaluation.overlap import overlap

SPACING_MM = np.array([1.0, 2.0, 3.0])


def ball(center, radius_mm, shape=(24, 16, 12)):
    places = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), -1) * SPACING_MM
    return np.linalg.norm(places - np.array(center), axis=-1) < radius_mm


def surface_mm(mask):
    padded = np.pad(mask, 1)
    inner = ndimage.binary_erosion(padded)[1:-1, 1:-1, 1:-1]
    return np.argwhere(mask & ~inner) * SPACING_MM


def distances(mask, other):
    here, there = surface_mm(mask), surface_mm(other)
    return np.linalg.norm(here[:, None] - there, axis=-1).min(axis=1)


def score(prediction, reference, num_classes=2, tolerance_mm=2.0):
    return overlap(
        prediction.astype(np.uint8),
        reference.astype(np.uint8),
        num_classes=num_classes,
        spacing_mm=SPACING_MM,
        tolerance_mm=tolerance_mm,
    )


@pytest.mark.parametrize("shift", [(0, 0, 0), (3, 0, 0), (1, 4, 3), (-13, 0, 0)])
def test_each_number_is_its_definition(shift):
    reference = ball((12, 16, 18), 8)
    prediction = ball(np.array((12, 16, 18)) + shift, 9)
    (found,) = score(prediction, reference)
    assert found.dice == pytest.approx(
        2 * (prediction & reference).sum() / (prediction.sum() + reference.sum()), abs=1e-6
    )
    there, back = distances(prediction, reference), distances(reference, prediction)
    assert found.hd95_mm == pytest.approx(
        max(np.percentile(d, 95) for d in (there, back)), abs=1e-4
    )
    within = (there <= 2).sum() + (back <= 2).sum()
    assert found.nsd == pytest.approx(within / (len(there) + len(back)), abs=1e-6)


def test_classes_are_scored_apart():
    reference = ball((6, 16, 18), 4) + 2 * ball((18, 16, 18), 4)
    one, two = score(reference * (reference == 2), reference, num_classes=3)
    assert (one.dice, one.nsd, one.prediction_empty) == (0, 0, True)
    assert np.isnan(one.hd95_mm)
    assert (two.dice, two.hd95_mm, two.nsd) == (1, 0, 1)


def test_an_empty_reference_has_no_number_and_says_so():
    (found,) = score(ball((12, 16, 18), 4), ball((12, 16, 18), 0))
    assert found.reference_empty
    assert np.isnan([found.dice, found.hd95_mm, found.nsd]).all()


def test_grids_and_classes_that_do_not_fit_are_refused():
    with pytest.raises(DataError, match=r"prediction has shape \(2, 2, 2\), its reference"):
        score(np.zeros((2, 2, 2)), np.zeros((2, 2, 3)))
    with pytest.raises(DataError, match=r"expected reference classes 0 to 1, got up to 5"):
        score(np.zeros((2, 2, 2)), np.full((2, 2, 2), 5))
