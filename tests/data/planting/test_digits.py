from collections import Counter

import numpy as np
import pytest
from nibabel.affines import apply_affine
from scipy import ndimage
from sklearn.datasets import load_digits

from medssl.data.planting import Scene
from medssl.data.planting.digits import Digits, cut, written
from medssl.data.volume import Volume

OBLIQUE = np.array([[1.4, 0.2, 0, -40], [-0.3, 0.9, 0.1, 7], [0, -0.2, 3.0, 10], [0, 0, 0, 1]])
PLAIN = {"side_vox": 12, "digit_vox": 8}  # digits as they were written


def scene(shape=(20, 15, 8), low=-0.5, high=1.5, seed=0):
    voxels = np.random.default_rng(seed).uniform(low, high, (1, *shape))
    return Scene.of(Volume(voxels.astype(np.float32), OBLIQUE))


def piece(of, seed=0, *, is_target=False, is_held_out=False, **keys):
    rng = np.random.default_rng(seed)
    return Digits(**keys)(of, rng, is_target=is_target, is_held_out=is_held_out)


def picture(of, seed, **keys):
    """What was planted, without enlargement, as a person sees it: rows from the top down."""
    with_digit = piece(of, seed, is_target=True, **PLAIN, **keys)
    without = piece(of, seed, **PLAIN, **keys)
    planted = 2 * (with_digit.volume.voxels - without.volume.voxels)[0, :, :, 0]
    shown = planted[2:10, 2:10].T[::-1]
    assert planted.sum() == pytest.approx(shown.sum(), rel=1e-4)  # in the middle and nowhere else
    return np.rint(16 * shown).astype(int), int(with_digit.attributes["digit"])


def test_a_voxel_of_a_piece_lies_where_it_lay():
    of = scene()
    for seed in range(10):
        found = piece(of, seed, **PLAIN).volume
        assert found.voxels.shape == (1, 12, 12, 1)
        inside = np.array(list(np.ndindex(12, 12, 1)))
        world = apply_affine(found.affine, inside)
        before = apply_affine(np.linalg.inv(OBLIQUE), world)
        np.testing.assert_allclose(before, before.round(), atol=1e-9)
        i, j, k = before.round().astype(int).T
        expected = 0.5 * np.clip(of.volume.voxels[0, i, j, k], 0, 1)
        np.testing.assert_array_equal(found.voxels[0].ravel(), expected)
        # the middle of the square is the middle of the plane, to half a voxel
        assert np.abs((i.min() + i.max()) / 2 - 9.5) <= 0.5
        assert np.abs((j.min() + j.max()) / 2 - 7) <= 0.5


def test_beyond_a_smaller_plane_its_border_is_repeated():
    of = scene(shape=(5, 8, 4))
    found = cut(of.volume, 2, 12)
    plane = of.volume.voxels[0, :, :, 2]
    np.testing.assert_array_equal(
        found.voxels[0, :, :, 0], np.pad(plane, [(4, 3), (2, 2)], mode="edge")
    )
    np.testing.assert_allclose(
        apply_affine(found.affine, [4, 2, 0]), apply_affine(OBLIQUE, [0, 0, 2])
    )


@pytest.mark.parametrize(
    ("num_slices", "drawn"), [(8, {2, 3, 4, 5}), (6, {1, 2, 3, 4}), (3, {0, 1, 2}), (1, {0})]
)
def test_the_slice_is_one_of_the_middle_half(num_slices, drawn):
    of = scene(shape=(9, 9, num_slices))
    affines = [piece(of, seed, **PLAIN).volume.affine for seed in range(60)]
    planes = {round(apply_affine(np.linalg.inv(OBLIQUE) @ a, [0, 0, 0])[2]) for a in affines}
    assert planes == drawn


def test_the_range_of_intensities_is_the_same_for_all_images():
    for high in (1.0, 3.0):
        of = scene(high=high)
        found = piece(of, low=0.5, high=2.5, **PLAIN).volume
        place = np.linalg.inv(OBLIQUE) @ found.affine[:, 3]
        before = of.volume.voxels[0, 4:16, 1:13, round(place[2])]
        expected = 0.5 * np.clip((before - 0.5) / 2, 0, 1)
        np.testing.assert_allclose(found.voxels[0, :, :, 0], expected, atol=1e-6)


def test_the_digit_is_the_one_it_is_said_to_be_upright_and_half_as_bright_as_white():
    bundled, of = load_digits(), scene()
    for seed in range(20):
        shown, digit = picture(of, seed)
        known = bundled.images[bundled.target == digit].astype(int)
        assert (known == shown).all(axis=(1, 2)).any()


def test_digits_that_are_held_out_are_in_no_other_piece():
    pictures = {
        held: [p.tobytes() for digit in written(is_held_out=held) for p in digit]
        for held in (False, True)
    }
    assert not set(pictures[False]) & set(pictures[True])
    assert len(pictures[False]) + len(pictures[True]) == 1797
    for seen, held in zip(written(is_held_out=False), written(is_held_out=True), strict=True):
        assert len(held) == round((len(seen) + len(held)) / 3)

    def known(shown):
        return (shown / 16).astype(np.float32).tobytes()

    of = scene()
    for seed in range(20):
        for held in (False, True):
            shown, _ = picture(of, seed, is_held_out=held)
            assert known(shown) in pictures[held]
            assert known(shown) not in pictures[not held]


def test_each_digit_comes_as_often():
    of = scene()
    drawn = Counter(
        piece(of, seed, is_target=True, **PLAIN).attributes["digit"] for seed in range(500)
    )
    assert drawn.keys() == set("0123456789")
    assert min(drawn.values()) > 30
    assert max(drawn.values()) < 75


def test_an_enlarged_digit_is_smooth():
    of = scene()
    shown, _ = picture(of, 3)
    keys = {"side_vox": 32, "digit_vox": 24}
    large = piece(of, 3, is_target=True, **keys).volume.voxels - piece(of, 3, **keys).volume.voxels
    expected = ndimage.zoom(shown / 16, 3, order=1, mode="nearest", grid_mode=True)
    np.testing.assert_allclose(2 * large[0, 4:28, 4:28, 0].T[::-1], expected, atol=1e-5)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"digit_vox": 33}, r"digit_vox must be from 8 to side_vox, got 33 and 32"),
        ({"digit_vox": 7}, r"digit_vox must be from 8 to side_vox, got 7 and 32"),
        ({"low": 1.0}, r"low must be below high, got 1\.0 and 1\.0"),
        ({"high": float("nan")}, r"low must be below high, got 0\.0 and nan"),
    ],
)
def test_what_makes_no_piece_is_refused(keys, message):
    with pytest.raises(ValueError, match=message):
        Digits(**keys)
