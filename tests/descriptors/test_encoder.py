"""The pooled encoder against a network whose features are known."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from medssl.descriptors.encoder import Encoder, central, covering, padded
from medssl.errors import ConfigError


class Means(nn.Module):
    """Two maps of block means; the weight tells how often it was called."""

    def __init__(self, spatial_dims=3):
        super().__init__()
        self.spatial_dims, self.strides, self.channels = spatial_dims, (2, 4), (1, 1)
        self.weight = nn.Parameter(torch.ones(()))
        self.sizes = []

    def forward(self, image):
        self.sizes.append(tuple(image.shape))
        pool = functional.avg_pool3d if self.spatial_dims == 3 else functional.avg_pool2d
        return pool(image, 2), pool(image, 4) * 7


def voxels(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def test_a_volume_is_the_mean_of_the_coarsest_map():
    volume = voxels(2, 8, 12, 16)
    found = Encoder(Means()).volume(volume)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, 7 * volume.mean(axis=(1, 2, 3)), rtol=1e-4)


def test_the_border_is_repeated_up_to_the_stride():
    volume = voxels(1, 5, 8, 8)
    longer = np.concatenate([volume] + [volume[:, -1:]] * 3, axis=1)
    np.testing.assert_allclose(
        Encoder(Means()).volume(volume), 7 * longer.mean(axis=(1, 2, 3)), rtol=1e-4
    )
    assert padded(volume[None], 4).shape == (1, 1, 8, 8, 8)


def test_crops_that_divide_the_volume_change_nothing():
    volume = voxels(1, 16, 8, 8)
    network = Means()
    cropped = Encoder(network, crop_vox=(4, 8, 16), batch_size=3).volume(volume)
    assert network.sizes == [(3, 1, 4, 8, 8), (1, 1, 4, 8, 8)]
    np.testing.assert_allclose(cropped, Encoder(Means()).volume(volume), rtol=1e-4)


def test_crops_cover_every_voxel():
    seen = np.zeros((10, 7, 4), int)
    for box in covering((10, 7, 4), (4, 4, 8)):
        seen[box] += 1
        assert seen[box].shape == (4, 4, 4)
    assert seen.min() == 1


def test_a_2d_network_describes_each_slice_and_a_volume_by_their_mean():
    volume = voxels(1, 8, 8, 5)
    network = Means(spatial_dims=2)
    found = Encoder(network, batch_size=2).slices(volume)
    np.testing.assert_allclose(found[:, 0], 7 * volume.mean(axis=(0, 1, 2)), rtol=1e-4)
    assert [size[0] for size in network.sizes] == [2, 2, 1]
    np.testing.assert_allclose(Encoder(network).volume(volume), found.mean(axis=0), rtol=1e-5)


def test_a_3d_network_is_refused_for_slices():
    with pytest.raises(ConfigError, match="3 spatial axes describes no slices: set unit to volume"):
        Encoder(Means()).slices(voxels(1, 8, 8, 8))


@pytest.mark.parametrize("crop_vox", [(8, 8), (8, 8, 6)])
def test_a_crop_that_does_not_fit_the_network_is_refused(crop_vox):
    with pytest.raises(ConfigError, match=r"crop_vox must be 3 multiples of .* stride 4, got \(8"):
        Encoder(Means(), crop_vox=crop_vox)


def test_no_piece_at_once_is_refused():
    with pytest.raises(ConfigError, match="batch_size must be at least 1, got 0"):
        Encoder(Means(), batch_size=0)


@pytest.mark.parametrize("spatial_dims", [2, 3])
def test_the_box_in_the_middle_is_described_as_the_volume_cut_by_hand(spatial_dims):
    volume = voxels(2, 13, 20, 9)
    network = Means(spatial_dims)
    found = Encoder(network, center_vox=(8, 12, 4)).volume(volume)
    by_hand = np.ascontiguousarray(volume[:, 2:10, 4:16, 2:6])
    np.testing.assert_array_equal(found, Encoder(network).volume(by_hand))
    assert not np.allclose(found, Encoder(network).volume(volume))


def test_a_volume_smaller_than_the_box_has_its_border_repeated_on_both_sides():
    volume = voxels(1, 9, 8, 1)
    box = central(volume, (4, 11, 4))
    assert box.shape == (1, 4, 11, 4)
    rows = volume[:, 2:6]
    expected = np.concatenate([rows[:, :, :1], rows, rows[:, :, -1:], rows[:, :, -1:]], axis=2)
    np.testing.assert_array_equal(box, np.repeat(expected, 4, axis=3))


def test_what_surrounds_the_box_is_not_seen_and_neither_is_how_much_there_is():
    volume = voxels(1, 16, 16, 10)
    around = np.pad(volume, [(0, 0), (3, 3), (5, 5), (2, 2)], constant_values=50.0)
    encoder = Encoder(Means(), center_vox=(8, 8, 8))
    np.testing.assert_array_equal(encoder.volume(around), encoder.volume(volume))


def test_a_box_is_of_a_volume_and_not_empty():
    with pytest.raises(ConfigError, match="not of a slice: set unit to volume"):
        Encoder(Means(2), center_vox=(4, 4, 4)).slices(voxels(1, 8, 8, 8))
    with pytest.raises(ConfigError, match=r"center_vox must be three sides .* got \(4, 0, 4\)"):
        Encoder(Means(), center_vox=(4, 0, 4))
