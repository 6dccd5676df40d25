"""Geometry against DICOM's own words: +x is the patient's left, +y the back, +z the head."""

import nibabel
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medssl.geometry import canonical, lps_to_ras, same_grid, skewness


def test_a_step_to_the_left_and_back_is_minus_right_and_minus_front():
    lps = np.eye(4)
    lps[:3, 3] = [10, 20, 30]
    np.testing.assert_array_equal(lps_to_ras(lps) @ [1, 2, 3, 1], [-11, -22, 33, 1])


def grid(seed):
    """A shape and an oblique affine with axes in any order and direction."""
    rng = np.random.default_rng(seed)
    turn, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    affine = np.eye(4)
    affine[:3, :3] = turn @ np.diag(rng.uniform(0.5, 5, 3))
    affine[:3, 3] = rng.normal(size=3) * 100
    return tuple(int(n) for n in rng.integers(2, 9, 3)), affine


@given(st.integers(0, 10_000))
def test_the_canonical_grid_is_nibabels(seed):
    shape, affine = grid(seed)
    turned = nibabel.as_closest_canonical(nibabel.Nifti1Image(np.zeros(shape, np.uint8), affine))
    found_shape, found = canonical(shape, affine)
    assert found_shape == turned.shape
    np.testing.assert_allclose(found, turned.affine, atol=1e-9)


def test_a_flipped_and_permuted_grid_is_the_same_one():
    affine = np.array([[0, 0, 3, 5], [2, 0, 0, 7], [0, 4, 0, 9], [0, 0, 0, 1.0]])
    flipped = affine.copy()
    flipped[:3, 0] *= -1
    flipped[:3, 3] += affine[:3, 0] * 9
    permuted = flipped[:, [2, 0, 1, 3]]
    assert same_grid((10, 20, 30), affine, (30, 10, 20), permuted)
    assert not same_grid((10, 20, 30), affine, (30, 10, 21), permuted)


@pytest.mark.parametrize(
    ("entry", "change_mm", "is_same"),
    [((0, 3), 9e-4, True), ((0, 3), 2e-3, False), ((0, 0), 9e-4, False), ((0, 0), 1e-4, True)],
)
def test_a_small_error_counts_as_what_it_moves(entry, change_mm, is_same):
    moved = np.eye(4)
    moved[entry] += change_mm
    # 1e-3 mm a step is a third of a voxel at the far end of 400.
    assert same_grid((400, 4, 4), np.eye(4), (400, 4, 4), moved) is is_same


def test_skewness_is_the_cosine_between_axes():
    leaning = np.eye(4)
    leaning[:3, 1] = [np.cos(np.radians(80)), np.sin(np.radians(80)), 0]
    assert skewness(leaning) == pytest.approx(np.cos(np.radians(80)))
    assert skewness(np.diag([2.0, 3, 5, 1])) == 0
