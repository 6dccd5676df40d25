from itertools import permutations, product

import blosc2
import numpy as np
import pytest

from medssl.data.chunks import chunks

SHAPES = [(2, 37, 20, 23), (1, 32, 16, 24), (1, 5, 3, 1), (1, 1, 9, 40)]


def literal(voxels, chunk, block):
    """Each chunk, voxel by voxel: blocks in C order, voxels of a block in C order, 0 outside."""
    for channel in voxels:
        starts = [range(0, size, step) for size, step in zip(channel.shape, chunk, strict=True)]
        for start in product(*starts):
            ends = [min(s + c, n) for s, c, n in zip(start, chunk, channel.shape, strict=True)]
            blocks = [range(-(-c // b)) for c, b in zip(chunk, block, strict=True)]
            values = []
            for of in product(*blocks):
                for within in product(*map(range, block)):
                    place = tuple(
                        s + o * b + w for s, o, b, w in zip(start, of, block, within, strict=True)
                    )
                    is_there = all(p < end for p, end in zip(place, ends, strict=True))
                    values.append(channel[place] if is_there else 0)
            yield np.array(values, voxels.dtype)


def in_memory_order(voxels, order, flipped):
    """The same voxels with other strides."""
    axes = (0, *(1 + axis for axis in order))
    kept = np.ascontiguousarray(voxels.transpose(axes)).transpose(np.argsort(axes))
    if flipped:
        kept = np.ascontiguousarray(kept[:, ::-1, :, ::-1].transpose(axes))
        kept = kept.transpose(np.argsort(axes))[:, ::-1, :, ::-1]
    return kept


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("order", list(permutations(range(3))))
@pytest.mark.parametrize("flipped", [False, True])
def test_a_chunk_holds_its_blocks_one_after_the_other(shape, order, flipped):
    whole = np.random.default_rng(0).integers(-9, 1 << 14, shape).astype(np.int16)
    voxels = in_memory_order(whole, order, flipped)
    np.testing.assert_array_equal(voxels, whole)
    chunk = tuple(map(min, (16, 16, 24), shape[1:]))
    block = tuple(map(min, (8, 4, 5), chunk))
    found = [each.copy() for each in chunks(voxels, chunk, block)]
    for ours, theirs in zip(found, literal(whole, chunk, block), strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float32])
def test_a_chunk_is_what_blosc2_makes_of_the_array(dtype):
    voxels = np.random.default_rng(1).integers(0, 99, (2, 40, 33, 20)).astype(dtype)
    chunk, block = (32, 32, 20), (16, 16, 8)
    stored = blosc2.asarray(voxels, chunks=(1, *chunk), blocks=(1, *block))
    theirs = [np.frombuffer(stored.schunk.decompress_chunk(n), dtype) for n in range(8)]
    for ours, expected in zip(chunks(voxels, chunk, block), theirs, strict=True):
        np.testing.assert_array_equal(ours, expected)
