"""Radiometry against NumPy, slice by slice, and what it does not see."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from skimage.measure import shannon_entropy

from medssl.descriptors.radiometry import Radiometry


@pytest.fixture
def voxels():
    """Two channels, each slice in a range of its own, partly beyond the window."""
    rng = np.random.default_rng(0)
    scale = rng.uniform(0.2, 1.5, size=5)
    return (rng.normal(0.4, 0.3, size=(2, 12, 9, 5)) * scale).astype(np.float32)


def sharpness(plane):
    """Return the mean absolute difference of neighbors, channel by channel, voxel by voxel."""
    steps = []
    for channel in plane.astype(float):
        for i, j in np.ndindex(channel.shape):
            if i:
                steps.append(abs(channel[i, j] - channel[i - 1, j]))
            if j:
                steps.append(abs(channel[i, j] - channel[i, j - 1]))
    return sum(steps) / len(steps)


def numbers(values, sharp, above):
    exact = values.astype(float)
    greys = np.rint(values.clip(0, 1) * 255).astype(np.uint8)
    return {
        "mean": exact.mean(),
        "deviation": exact.std(),
        "percentile_1": np.percentile(exact, 1),
        "percentile_25": np.percentile(exact, 25),
        "percentile_50": np.percentile(exact, 50),
        "percentile_75": np.percentile(exact, 75),
        "percentile_99": np.percentile(exact, 99),
        "sharpness": sharp,
        "entropy_bits": shannon_entropy(greys),
        "foreground": (exact > above).mean(),
    }


@pytest.mark.parametrize("above", [0.1, 0.5])
def test_a_slice_has_the_numbers_that_its_columns_name(voxels, above):
    radiometry = Radiometry(foreground_above=above)
    for k, row in enumerate(radiometry.slices(voxels).tolist()):
        plane = voxels[..., k]
        expected = numbers(plane, sharpness(plane), above)
        found = dict(zip(radiometry.columns, row, strict=True))
        assert found == pytest.approx(expected, rel=1e-4)


def test_a_volumes_numbers_are_of_all_voxels_and_its_sharpness_that_of_its_slices(voxels):
    sharp = np.mean([sharpness(voxels[..., k]) for k in range(5)])
    found = dict(zip(Radiometry.columns, Radiometry().volume(voxels).tolist(), strict=True))
    assert found == pytest.approx(numbers(voxels, sharp, 0.1), rel=1e-4)


def test_where_things_are_is_not_seen_and_how_sharp_they_are_is(voxels):
    flipped = np.ascontiguousarray(voxels[:, ::-1, ::-1])
    rows = Radiometry().slices(voxels)
    np.testing.assert_allclose(Radiometry().slices(flipped), rows, rtol=1e-5)
    blurred = gaussian_filter(voxels, (0, 1, 1, 0))
    column = Radiometry.columns.index("sharpness")
    assert (Radiometry().slices(blurred)[:, column] < 0.5 * rows[:, column]).all()


def test_a_slice_of_a_single_voxel_has_no_sharpness():
    row = Radiometry().slices(np.full((1, 1, 1, 1), 0.3, np.float32))[0]
    expected = [0.3, 0, *[0.3] * 5, 0, 0, 1]
    assert row.tolist() == pytest.approx(expected, abs=1e-7)
