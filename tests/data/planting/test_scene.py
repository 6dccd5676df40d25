import numpy as np
import pytest

from medssl.data.planting import Scene
from medssl.data.volume import Volume
from medssl.errors import DataError


def volume(*levels, shape=(4, 5, 3), spacing=(2.0, 1.0, 0.5)):
    """A channel each of noise about a level, brighter by 1 where i < 2."""
    rng = np.random.default_rng(0)
    voxels = np.array(levels)[:, None, None, None] + rng.normal(0, 0.01, (len(levels), *shape))
    voxels[:, :2] += 1
    return Volume(voxels.astype(np.float32), np.diag([*spacing, 1]))


def test_the_foreground_is_what_is_bright_and_measured_in_ml():
    scene = Scene.of(volume(0.2))  # three slices, which are no colors
    np.testing.assert_array_equal(scene.foreground[:2], np.ones((2, 5, 3), bool))
    np.testing.assert_array_equal(scene.foreground[2:], np.zeros((2, 5, 3), bool))
    assert scene.foreground_ml == pytest.approx(2 * 5 * 3 * 2.0 * 1.0 * 0.5 / 1000)


def test_a_flipped_axis_is_no_negative_volume():
    flipped = volume(0.2, spacing=(-2.0, 1.0, 0.5))
    assert Scene.of(flipped).foreground_ml == pytest.approx(0.03)


def test_the_brightest_channel_counts():
    both = volume(0.0, 5.0)
    both.voxels[1] = both.voxels[1, ::-1]
    np.testing.assert_array_equal(Scene.of(both).foreground[:2], np.zeros((2, 5, 3), bool))


def test_an_image_of_one_intensity_is_refused():
    flat = Volume(np.full((1, 4, 4, 4), 0.25, np.float32), np.eye(4))
    with pytest.raises(DataError, match=r"brighter than the rest, found all 64 voxels at 0\.25; l"):
        Scene.of(flat)
