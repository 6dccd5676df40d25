"""Entropy by hand and against scikit-image, foreground against counting."""

import numpy as np
import pytest
from skimage.measure import shannon_entropy

from medssl.descriptors.content import Content


def slices_of(*planes):
    return np.stack([np.asarray(plane, np.float32) for plane in planes], axis=-1)[None]


def test_an_image_half_black_and_half_white_has_one_bit_and_a_constant_none():
    half = np.zeros((16, 10))
    half[:8] = 1
    # Whatever lies beyond the window is black or white.
    numbers = Content().slices(slices_of(half, half * 5 - 2, half * 0 + 0.05, half * 0 + 0.7))
    assert numbers.tolist() == [[1, 0.5], [1, 0.5], [0, 0], [0, 1]]
    assert not np.signbit(numbers).any()


def test_all_256_greys_equally_often_have_eight_bits():
    plane = np.repeat(np.arange(256) / 255, 3).reshape(32, 24)
    assert Content().slices(slices_of(plane))[0, 0] == 8


def test_entropy_is_scikit_images():
    rng = np.random.default_rng(0)
    greys = (rng.normal(130, 40, size=(50, 60, 4)).clip(0, 255) // [1, 4, 32, 100]).astype(np.uint8)
    found = Content().slices(greys[None] / np.float32(255))[:, 0]
    assert found.tolist() == pytest.approx([shannon_entropy(greys[..., k]) for k in range(4)])
    assert (np.diff(found) < -0.5).all()


@pytest.mark.parametrize("above", [0.1, 0.63])
def test_foreground_is_counted_above_and_not_at_the_limit(above):
    rng = np.random.default_rng(0)
    voxels = rng.uniform(size=(1, 9, 7, 5)).astype(np.float32)
    voxels[0, :3] = above
    expected = [sum(float(v) > np.float32(above) for v in voxels[..., k].flat) for k in range(5)]
    assert min(expected) > 0
    assert max(expected) < 42
    found = Content(foreground_above=float(np.float32(above))).slices(voxels)[:, 1]
    assert found.tolist() == pytest.approx([count / 63 for count in expected])


def test_channels_and_a_volumes_slices_are_pooled():
    dark, light = np.zeros((4, 4)), np.ones((4, 4))
    two_channels = np.concatenate([slices_of(dark), slices_of(light)])
    assert Content().slices(two_channels).tolist() == [[1, 0.5]]
    grey = light * 0.5
    volume = slices_of(dark, light, grey, grey)
    assert Content().volume(volume).tolist() == [1.5, 0.75]
