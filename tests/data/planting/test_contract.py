"""What every planting keeps, found by its file alone: a new one is tested unasked."""

import numpy as np
import pytest

from medssl import lookup
from medssl.data.planting import Planting, Scene
from medssl.data.volume import Volume

FAMILY = "medssl.data.planting"
AFFINE = np.array([[1.5, 0, 0, -40], [0, 1.0, 0, -30], [0, 0, 2.0, 10], [0, 0, 0, 1]])


@pytest.fixture(params=lookup.names(FAMILY))
def planting(request):
    return lookup.build(FAMILY, request.param)


@pytest.fixture
def scene():
    """Bright tissue in two channels, with dark planes around it."""
    voxels = np.random.default_rng(0).uniform(0.5, 0.7, (2, 52, 60, 30)).astype(np.float32)
    voxels[:, :3], voxels[:, -3:] = 0.1, 0.1
    return Scene.of(Volume(voxels, AFFINE))


def made(planting, scene, seed=0, *, is_target=True, is_held_out=False):
    rng = np.random.default_rng(seed)
    return planting(scene, rng, is_target=is_target, is_held_out=is_held_out)


def test_a_background_says_nothing_and_a_target_says_all_that_is_planted(planting, scene):
    assert isinstance(planting, Planting)
    for held_out in (False, True):
        background = made(planting, scene, is_target=False, is_held_out=held_out)
        target = made(planting, scene, is_held_out=held_out)
        assert background.attributes == {}
        assert target.attributes.keys() == set(planting.plants)


def test_a_target_is_the_background_with_something_more(planting, scene):
    for seed in range(5):
        background, target = (made(planting, scene, seed, is_target=t) for t in (False, True))
        np.testing.assert_array_equal(target.volume.affine, background.volume.affine)
        more = target.volume.voxels - background.volume.voxels
        assert more.max() > 0.1
        assert more.min() >= 0
        assert more[0, ..., target.plane].max() > 0.1
        np.testing.assert_allclose(more[0], more[1], atol=1e-6)


def test_pieces_are_functions_of_the_generator(planting, scene):
    one, again, other = (made(planting, scene, seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(one.volume.voxels, again.volume.voxels)
    assert one.attributes == again.attributes
    assert not np.array_equal(one.volume.voxels, other.volume.voxels)


def test_the_scene_stays_as_it_was(planting, scene):
    before, mask = scene.volume.voxels.copy(), scene.foreground.copy()
    for is_target in (False, True):
        piece = made(planting, scene, is_target=is_target)
        assert piece.volume.voxels.dtype == np.float32
    np.testing.assert_array_equal(scene.volume.voxels, before)
    np.testing.assert_array_equal(scene.foreground, mask)
