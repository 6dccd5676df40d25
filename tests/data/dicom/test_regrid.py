"""Resampling against loops over voxels that say what it means."""

import math

import numpy as np
import pytest

from medssl.data.dicom.regrid import Regrid

PADDING = -9.0


def voxels(dtype=np.float64):
    found = np.random.default_rng(0).integers(0, 100, (1, 4, 6, 5)).astype(dtype)
    found[0, 1, 2, 3] = found[0, 0, 0, 0] = PADDING  # the least value: padding
    return found


def along_j(regrid, volume):
    """Each voxel from the two that it lies between in its slice, or from the nearer padding."""
    shifts = regrid.shifts_vox[:, 1] - regrid.start_vox[1]
    _, num_i, num_j, num_k = volume.shape
    moved = np.full((1, num_i, num_j + math.ceil(shifts.max()), num_k), PADDING)
    for i, j, k in np.ndindex(moved.shape[1:]):
        place = j - shifts[k]
        low, share = math.floor(place), place - math.floor(place)
        if low < -1 or (low == -1 and share == 0) or low + (share > 0) >= num_j:
            continue
        one, other = volume[0, i, max(low, 0), k], volume[0, i, low + (share > 0), k]
        if share and PADDING in (one, other):
            moved[0, i, j, k] = other if share > 0.5 else one
        else:
            moved[0, i, j, k] = (1 - share) * one + share * other
    return moved


SHIFTS = np.array([0, -0.75, -1.5, -2.25, -4.0])


@pytest.mark.parametrize(
    ("drifts", "start", "rows"),
    [(SHIFTS, -4, 10), (-SHIFTS, 0, 10), (0.8 * SHIFTS, -4, 10), (-0.8 * SHIFTS, -0.8, 10)],
)
def test_tilted_slices_are_shifted_back_and_none_is_cut_off(drifts, start, rows):
    shifts = np.stack([np.zeros(5), drifts], axis=1)
    regrid = Regrid(shifts, np.arange(5) * 2.0, "", PADDING)
    given = voxels()
    found = regrid(given)
    assert found.shape == (1, *regrid.plane(4, 6), 5) == (1, 4, rows, 5)
    assert (regrid.num_slices, regrid.step_mm) == (5, 2.0)
    assert regrid.start_vox == pytest.approx((0, start))
    np.testing.assert_allclose(found, along_j(regrid, given))
    farthest = int(np.argmax(drifts))
    np.testing.assert_array_equal(found[..., -6:, farthest], given[..., farthest])


def test_the_least_value_is_mixed_where_no_padding_is_declared():
    shifts = np.stack([np.zeros(5), SHIFTS], axis=1)
    given = voxels()
    declared, free = (
        Regrid(shifts, np.arange(5) * 2.0, "", padding) for padding in (PADDING, None)
    )
    (i, j, k), (low, high) = (1, 2, 3), (given[0, 1, 2, 3], given[0, 1, 3, 3])
    row = math.floor(SHIFTS[k]) + 4 + j + 1
    assert declared(given)[0, i, row, k] == low  # the nearer one
    assert free(given)[0, i, row, k] == pytest.approx(0.75 * low + 0.25 * high)
    assert free(given)[0, 0, 0, 0] == given.min()


def test_the_other_axis_of_the_plane_is_no_different():
    shifts = np.stack([np.zeros(5), SHIFTS], axis=1)
    along_i = Regrid(shifts[:, ::-1], np.arange(5) * 2.0, "")
    turned = along_i(voxels().swapaxes(1, 2)).swapaxes(1, 2)
    np.testing.assert_array_equal(turned, Regrid(shifts, np.arange(5) * 2.0, "")(voxels()))


@pytest.mark.parametrize(
    ("gaps_mm", "num_slices"), [([1, 2, 2, 1], 7), ([3, 3, 1.5, 3], 8), ([4, 4, 0.5, 4], 10)]
)
def test_uneven_gaps_become_the_smallest_but_no_more_than_twice_the_slices(gaps_mm, num_slices):
    places_mm = np.cumsum([0.0, *gaps_mm])
    regrid = Regrid(np.zeros((5, 2)), places_mm, "")
    given = voxels()
    found = regrid(given)
    assert regrid.num_slices == found.shape[3] == num_slices
    assert regrid.step_mm * (num_slices - 1) == pytest.approx(places_mm[-1])
    for k in range(num_slices):
        expected = [
            np.interp(k * regrid.step_mm, places_mm, given[0, i, j]) for i, j in np.ndindex(4, 6)
        ]
        np.testing.assert_allclose(found[0, :, :, k].ravel(), expected, atol=1e-9)


def test_integers_stay_integers_and_are_rounded():
    regrid = Regrid(np.zeros((5, 2)), np.array([0.0, 1, 3, 5, 6]), "")
    exact, found = regrid(voxels()), regrid(voxels(np.int16))
    assert found.dtype == np.int16
    np.testing.assert_array_equal(found, np.floor(exact + 0.5))
