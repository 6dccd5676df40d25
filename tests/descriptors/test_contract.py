"""What every descriptor keeps, found by its file alone."""

import numpy as np
import pytest
import torch

from medssl import lookup
from medssl.descriptors import Descriptor
from medssl.models.encoders.small_conv import SmallConv

FAMILY = "medssl.descriptors"
DTYPE = {"vector": np.float32, "hash": np.uint64, "image": np.uint8, "content": np.float32}


@pytest.fixture(params=lookup.names(FAMILY))
def descriptor(request):
    """With a 2-D network for those that are built around one, which describes both units."""
    torch.manual_seed(0)
    parts = [SmallConv(spatial_dims=2).eval()] if lookup.find(FAMILY, request.param).learned else []
    return lookup.build(FAMILY, request.param, *parts)


def noise(seed, num_slices=11):
    shape = (1, 20, 24, num_slices)
    return np.random.default_rng(seed).uniform(size=shape).astype(np.float32)


@pytest.fixture
def voxels():
    return noise(0)


def test_it_is_a_descriptor(descriptor):
    assert isinstance(descriptor, Descriptor)


def test_the_family_has_a_member_of_each_kind():
    assert {lookup.find(FAMILY, name).kind for name in lookup.names(FAMILY)} == set(DTYPE)


def test_rows_are_of_its_kind_and_both_units_are_described(descriptor, voxels):
    slices, volume = descriptor.slices(voxels), descriptor.volume(voxels)
    assert (slices.ndim, len(slices), volume.ndim) == (2, 11, 1)
    assert slices.dtype == volume.dtype == DTYPE[descriptor.kind]


def test_each_number_that_means_something_has_a_name(descriptor, voxels):
    columns = descriptor.columns
    assert len(set(columns)) == len(columns)
    if columns:
        width = len(columns)
        assert descriptor.slices(voxels).shape[1] == len(descriptor.volume(voxels)) == width


def test_a_slices_row_depends_on_no_other_slice(descriptor, voxels):
    whole = descriptor.slices(voxels)
    part = descriptor.slices(np.ascontiguousarray(voxels[..., 4:7]))
    np.testing.assert_allclose(part, whole[4:7], rtol=1e-5)


def test_another_image_has_another_row(descriptor, voxels):
    assert len(np.unique(descriptor.slices(voxels), axis=0)) == 11
    assert not np.array_equal(descriptor.volume(voxels), descriptor.volume(noise(1)))


@pytest.mark.parametrize("grey", [0.0, 0.5])
def test_a_volume_of_one_blank_slice_is_described(descriptor, grey):
    blank = np.full((1, 20, 24, 1), grey, np.float32)
    slices, volume = descriptor.slices(blank), descriptor.volume(blank)
    assert len(slices) == 1
    for row in (slices[0], volume):
        assert np.isfinite(row).all()


def test_where_voxels_lie_in_memory_changes_nothing(descriptor, voxels):
    elsewhere = np.asfortranarray(voxels)
    assert elsewhere.strides != voxels.strides
    np.testing.assert_allclose(descriptor.volume(elsewhere), descriptor.volume(voxels), rtol=1e-5)
    np.testing.assert_allclose(descriptor.slices(elsewhere), descriptor.slices(voxels), rtol=1e-5)


def test_it_leaves_the_voxels_alone_and_answers_the_same_twice(descriptor, voxels):
    before = voxels.copy()
    for describe in (descriptor.volume, descriptor.slices):
        np.testing.assert_array_equal(describe(voxels), describe(voxels))
    np.testing.assert_array_equal(voxels, before)
