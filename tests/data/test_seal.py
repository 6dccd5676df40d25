import os
from itertools import product

import blosc2
import numpy as np
import pytest

from medssl.data.cache import open_cached, write_cached
from medssl.data.seal import touched
from medssl.data.volume import Volume
from medssl.errors import DataError


@pytest.fixture(scope="module")
def content(tmp_path_factory):
    """The bytes of a file of 8 chunks, two of which are nothing but zeros, and its voxels."""
    path = tmp_path_factory.mktemp("whole") / "v.b2nd"
    voxels = np.random.default_rng(0).normal(0, 40, (2, 130, 130, 12)).astype(np.int16)
    voxels[1, :, :128] = 0
    write_cached(
        path,
        Volume(voxels, np.eye(4)),
        intensity=None,
        source_affine=np.eye(4),
        source_shape=(1, 2, 3),
        key="v",
    )
    return path.read_bytes(), voxels


def put(path, content, *, number=0):
    """Write a file anew, at another time each: what was checked is remembered by time and size."""
    path.unlink(missing_ok=True)
    path.write_bytes(content)
    os.utime(path, ns=(number, number))
    return path


@pytest.mark.slow
def test_no_flipped_bit_is_read_as_voxels(tmp_path, content):
    whole, voxels = content
    generator = np.random.default_rng(1)
    # Everywhere, and densely at both ends, where header, index, metadata and seal stand.
    ends = [*range(260), *range(len(whole) - 900, len(whole))]
    places = [*ends[::3], *generator.integers(len(whole), size=100)]
    for number, place in enumerate(places):
        damaged = bytearray(whole)
        damaged[place] ^= 1 << int(generator.integers(8))
        path = put(tmp_path / "v.b2nd", damaged, number=number)
        with pytest.raises(DataError, match=r"v\.b2nd: .* run `medssl cache` again"):
            open_cached(path).raw()
    np.testing.assert_array_equal(open_cached(put(tmp_path / "v.b2nd", whole)).raw(), voxels)


@pytest.mark.parametrize("left", [0, 1, 31, 100, 0.5, -100, -36, -1])
def test_a_truncated_file_is_refused(tmp_path, content, left):
    whole, _ = content
    cut = whole[: int(left * len(whole)) if left == 0.5 else left]
    with pytest.raises(DataError, match=r"v\.b2nd: .* truncated.* run `medssl cache` again"):
        open_cached(put(tmp_path / "v.b2nd", cut))


def test_a_file_that_goes_on_after_its_seal_is_refused(tmp_path, content):
    whole, _ = content
    for more in (b"\0", whole[-100:], whole):
        with pytest.raises(DataError, match=r"v\.b2nd: .* run `medssl cache` again"):
            open_cached(put(tmp_path / "v.b2nd", whole + more))


def test_two_chunks_that_changed_places_are_refused(tmp_path, content):
    whole, voxels = content
    path = put(tmp_path / "v.b2nd", whole)
    opened = open_cached(path)
    chunk_a, chunk_b = (opened.voxels.schunk.get_chunk(number) for number in (1, 3))
    a, b = whole.index(chunk_a), whole.index(chunk_b)
    size = min(len(chunk_a), len(chunk_b))
    changed = bytearray(whole)
    changed[a : a + size], changed[b : b + size] = chunk_b[:size], chunk_a[:size]
    cached = open_cached(put(path, changed, number=1))
    np.testing.assert_array_equal(
        cached.raw(slice(0, 128), slice(0, 128))[0], voxels[0, :128, :128]
    )
    with pytest.raises(DataError, match="chunk 1 is damaged"):
        cached.raw()


def test_a_chunk_is_checked_once_and_again_when_the_file_has_changed(
    tmp_path, content, monkeypatch
):
    whole, _ = content
    path = put(tmp_path / "v.b2nd", whole)
    read, get_chunk = [], blosc2.SChunk.get_chunk
    monkeypatch.setattr(
        blosc2.SChunk,
        "get_chunk",
        lambda self, number: read.append(number) or get_chunk(self, number),
    )
    open_cached(path).raw(slice(0, 5), slice(0, 5))
    assert read == [0, 4]
    open_cached(path).raw(slice(0, 5), slice(127, 129))
    assert read == [0, 4, 1, 5]
    put(path, whole, number=1)
    open_cached(path).raw(slice(129, 130), slice(0, 5))
    assert read == [0, 4, 1, 5, 2, 6]


@pytest.mark.parametrize("box", [(0, 5, 0, 4), (3, 4, 3, 4), (2, 6, 1, 3), (2, 2, 0, 4)])
def test_a_box_touches_the_chunks_that_hold_its_voxels(box):
    shape, chunks = (7, 5), (3, 2)
    numbers = np.zeros(shape, int)
    for i, j in product(range(7), range(5)):
        numbers[i, j] = 3 * (i // 3) + j // 2
    places = (slice(box[0], box[1]), slice(box[2], box[3]))
    assert list(touched(shape, chunks, places)) == np.unique(numbers[places]).tolist()


def test_open_slices_touch_what_they_reach():
    assert list(touched((7, 5), (3, 2), (slice(None), slice(-1, None)))) == [2, 5, 8]
