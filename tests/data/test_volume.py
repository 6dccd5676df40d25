import numpy as np
import pytest
from blake3 import blake3

from medssl.data.volume import Volume, digest, in_order

VOXELS = np.random.default_rng(0).integers(-1000, 1000, (2, 5, 7, 9), np.int16)


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (0, 3, 2, 1), (0, 2, 3, 1), (3, 1, 0, 2)])
@pytest.mark.parametrize("step", [1, -1])
@pytest.mark.parametrize("channels", [1, 2])
def test_voxels_in_order_are_those_that_were_there(order, step, channels):
    turned = VOXELS[:channels].transpose(order)[..., ::step]
    ordered = in_order(turned)
    assert ordered.flags.c_contiguous
    np.testing.assert_array_equal(ordered, turned)


@pytest.mark.parametrize("shape", [(1, 4, 1, 1), (1, 1, 1, 6), (1, 0, 3, 2), (3,), (4, 2)])
def test_flat_and_empty_arrays_are_put_in_order(shape):
    flat = np.arange(np.prod(shape), dtype=np.int32).reshape(shape).T
    assert in_order(flat).flags.c_contiguous
    np.testing.assert_array_equal(in_order(flat), flat)


def test_what_is_in_order_is_not_copied():
    assert np.shares_memory(in_order(VOXELS), VOXELS)


def test_a_digest_is_that_of_the_digests_of_its_slices():
    affine = np.diag([-1.0, -1.0, 2.5, 1.0])
    slices = [VOXELS[c, :, :, k] for c in range(2) for k in range(9)]
    digests = [blake3(one.tobytes(order="F")).digest() for one in slices]
    text = b"<i2 (2, 5, 7, 9)" + b"".join(digests)
    expected = blake3(text + affine.tobytes()).hexdigest(length=16)
    assert digest(Volume(VOXELS, affine)) == expected


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", ["<i2", ">i2"])
def test_neither_layout_nor_byte_order_counts_for_a_digest(order, dtype):
    same = np.array(VOXELS, dtype, order=order)
    assert digest(Volume(same, np.eye(4))) == digest(Volume(VOXELS, np.eye(4)))


@pytest.mark.parametrize("change", ["voxel", "shape", "type", "affine"])
def test_any_difference_counts_for_a_digest(change):
    voxels, affine = VOXELS.copy(), np.eye(4)
    if change == "voxel":
        voxels[1, 4, 6, 8] += 1
    elif change == "shape":
        voxels = voxels.reshape(2, 7, 5, 9)
    elif change == "type":
        voxels = voxels.astype(np.int32)
    else:
        affine[0, 3] = 0.001
    assert digest(Volume(voxels, affine)) != digest(Volume(VOXELS, np.eye(4)))
