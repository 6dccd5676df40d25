"""dHash against the library that defined it, and against values known by hand."""

import imagehash
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from medssl.descriptors.dhash import DHash

ALL_ONES = 2**64 - 1


def volume_of(*pictures):
    """Slices from pictures: columns run along i, rows along j."""
    stacked = np.stack([np.asarray(picture, np.float32).T for picture in pictures], axis=-1)
    return stacked[None] / np.float32(255)


def pictures(seed, height, width):
    """Smooth and noisy 8-bit pictures with flat air around, where ties are."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(256, size=(5, 7), dtype=np.uint8))
    smooth = np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC))
    noisy = rng.integers(256, size=(height, width), dtype=np.uint8)
    airy = smooth.copy()
    airy[: height // 2], airy[:, : width // 3] = 0, 0
    return smooth, noisy, airy


@given(st.integers(0, 1000), st.integers(3, 70), st.integers(3, 70))
def test_a_slices_words_are_imagehashs(seed, height, width):
    shown = pictures(seed, height, width)
    words = DHash(axes="all").slices(volume_of(*shown))
    for picture, (along_i, along_j) in zip(shown, words.tolist(), strict=True):
        image = Image.fromarray(picture)
        assert along_i == int(str(imagehash.dhash(image)), 16)
        assert along_j == int(str(imagehash.dhash_vertical(image)), 16)


def test_the_first_axis_alone_is_the_first_word():
    volume = volume_of(*pictures(0, 40, 30))
    one, two = DHash().slices(volume), DHash(axes="all").slices(volume)
    assert (one.shape, two.shape, one.dtype) == ((3, 1), (3, 2), np.uint64)
    np.testing.assert_array_equal(one[:, 0], two[:, 0])


def test_hashes_known_by_hand():
    ramp = np.tile(np.linspace(0, 255, 512).round(), (512, 1))
    shown = volume_of(ramp, ramp[:, ::-1], np.full((512, 512), 99.0), ramp.T)
    assert DHash().slices(shown).tolist() == [[ALL_ONES], [0], [0], [0]]
    assert DHash().slices(volume_of(np.arange(72).reshape(8, 9))).tolist() == [[ALL_ONES]]


def test_the_second_axis_tells_from_a_blank_what_brightens_along_it_alone():
    ramp = np.tile(np.linspace(0, 255, 512).round(), (512, 1))
    shown = volume_of(np.full((512, 512), 99.0), ramp.T, ramp[:, ::-1], ramp.T[::-1])
    blank, down, *darkening = DHash(axes="all").slices(shown).tolist()
    assert DHash().slices(shown).tolist() == [[0]] * 4
    assert (blank, down) == ([0, 0], [0, ALL_ONES])
    # What only darkens is told from a blank by neither: that is what blanks are marked for.
    assert darkening == [[0, 0]] * 2


def test_the_first_comparison_is_the_highest_bit():
    picture = np.zeros((8, 9))
    picture[0, 1:] = 255  # brighter from the first pixel of the first row to the second
    assert DHash().slices(volume_of(picture)).tolist() == [[2**63]]
    picture = np.zeros((8, 9))
    picture[7, 8] = 255
    assert DHash().slices(volume_of(picture)).tolist() == [[1]]


def test_what_lies_outside_of_the_window_is_black_or_white():
    volume = volume_of(*pictures(3, 20, 20)) * 3 - 1
    clipped = volume.clip(0, 1)
    assert (clipped != volume).mean() > 0.3
    np.testing.assert_array_equal(DHash().slices(volume), DHash().slices(clipped))


def test_gain_and_offset_move_next_to_no_bit_and_a_flip_many():
    smooth, *_ = pictures(1, 128, 128)
    volume = volume_of(smooth)
    changed = 0.8 * volume + np.float32(10 / 255)

    def differing(a, b):
        return int(np.bitwise_count(a ^ b).sum())

    assert differing(DHash().slices(volume), DHash().slices(changed)) <= 2
    assert differing(DHash().slices(volume), DHash().slices(volume[:, ::-1])) > 16


@pytest.mark.parametrize(
    ("axis", "words"), [(1, slice(0, 8)), (2, slice(8, 16)), (3, slice(16, 24))]
)
def test_a_volume_that_brightens_along_an_axis_sets_the_bits_of_that_axis(axis, words):
    ramp = np.linspace(0, 1, 40, dtype=np.float32)
    shape = [1, 1, 1, 1]
    shape[axis] = 40
    volume = np.ascontiguousarray(np.broadcast_to(ramp.reshape(shape), (1, 40, 40, 40)))
    found = DHash(axes="all").volume(volume)
    expected = np.zeros(24, np.uint64)
    expected[words] = ALL_ONES
    assert found.tolist() == expected.tolist()
    assert DHash().volume(volume).tolist() == expected[:8].tolist()


def test_a_volume_of_equal_slices_has_their_word_eight_times():
    smooth, *_ = pictures(5, 33, 47)
    volume = volume_of(*[smooth] * 20)
    (word,) = DHash().slices(volume)[0]
    assert DHash().volume(volume).tolist() == [word] * 8


def test_channels_come_one_after_another():
    smooth, noisy, _ = pictures(2, 16, 16)
    a, b = volume_of(smooth), volume_of(noisy)
    both = DHash(axes="all").slices(np.concatenate([a, b]))
    separate = [DHash(axes="all").slices(one) for one in (a, b)]
    np.testing.assert_array_equal(both, np.concatenate(separate, axis=1))
    np.testing.assert_array_equal(
        DHash().volume(np.concatenate([a, b])),
        np.concatenate([DHash().volume(one) for one in (a, b)]),
    )
