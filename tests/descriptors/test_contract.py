"""What every descriptor keeps, found by its file alone."""

import numpy as np
import pytest
import torch

from medssl import lookup
from medssl.descriptors import Descriptor
from medssl.models.encoders.small_conv import SmallConv

FAMILY = "medssl.descriptors"
DTYPE = {"vector": np.float32, "hash": np.uint64}


@pytest.fixture(params=lookup.names(FAMILY))
def descriptor(request):
    """With a 2-D network for those that are built around one, which describes both units."""
    torch.manual_seed(0)
    parts = [SmallConv(spatial_dims=2).eval()] if lookup.find(FAMILY, request.param).learned else []
    return lookup.build(FAMILY, request.param, *parts)


@pytest.fixture
def voxels():
    return np.random.default_rng(0).uniform(size=(1, 20, 24, 11)).astype(np.float32)


def test_it_is_a_descriptor(descriptor):
    assert isinstance(descriptor, Descriptor)


def test_rows_are_of_its_kind_and_both_units_are_described(descriptor, voxels):
    slices, volume = descriptor.slices(voxels), descriptor.volume(voxels)
    assert (slices.ndim, len(slices), volume.ndim) == (2, 11, 1)
    assert slices.dtype == volume.dtype == DTYPE[descriptor.kind]


def test_a_slices_row_depends_on_no_other_slice(descriptor, voxels):
    whole = descriptor.slices(voxels)
    part = descriptor.slices(np.ascontiguousarray(voxels[..., 4:7]))
    np.testing.assert_allclose(part, whole[4:7], rtol=1e-5)


def test_another_image_has_another_row(descriptor, voxels):
    assert len(np.unique(descriptor.slices(voxels), axis=0)) == 11
    other = np.ascontiguousarray(voxels[:, ::-1])
    assert not np.array_equal(descriptor.volume(voxels), descriptor.volume(other))


def test_it_leaves_the_voxels_alone_and_answers_the_same_twice(descriptor, voxels):
    before = voxels.copy()
    np.testing.assert_array_equal(descriptor.volume(voxels), descriptor.volume(voxels))
    np.testing.assert_array_equal(voxels, before)
