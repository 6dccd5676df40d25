import numpy as np
import pytest
from nibabel.affines import apply_affine
from scipy import ndimage
from skimage.filters import threshold_otsu

from medssl.data.planting import Scene
from medssl.data.planting.lesion import Lesion
from medssl.data.volume import Volume
from medssl.errors import DataError

SHAPE = (44, 56, 34)
STEPS = np.diag([1.5, 1.2, 2.0])
TILT = np.array([[1, 0.05, 0], [-0.05, 1, 0.1], [0, -0.1, 1]])


def affine_of(matrix):
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = matrix, [-30, 12, 55]
    return affine


AFFINES = {
    "straight": affine_of(STEPS),
    "tilted": affine_of(TILT @ STEPS),
    "to the left": affine_of(np.diag([-1, 1, 1]) @ STEPS),
}


def head(affine, middle=(21.0, 28.0, 17.0), axes=(19.0, 25.0, 15.0)):
    """An ellipsoid of tissue in air, both with noise."""
    grid = np.stack(np.meshgrid(*map(np.arange, SHAPE), indexing="ij"), axis=-1)
    inside = (((grid - middle) / axes) ** 2).sum(axis=-1) < 1
    noise = np.random.default_rng(0).normal(0, 0.03, SHAPE)
    return Scene.of(Volume((0.6 * inside + noise)[None].astype(np.float32), affine))


@pytest.fixture(params=AFFINES)
def scene(request):
    return head(AFFINES[request.param])


def piece(scene, seed=0, *, is_target=True, **keys):
    keys = {"radius_mm": (4.0, 8.0), **keys}
    rng = np.random.default_rng(seed)
    return Lesion(**keys)(scene, rng, is_target=is_target, is_held_out=False)


def planted(scene, seed, **keys):
    """What was added, by voxel, and what is said of it."""
    found = piece(scene, seed, **keys)
    added = (found.volume.voxels - scene.volume.voxels)[0].astype(np.float64)
    return added, float(found.attributes["lesion_diameter_mm"]), found.attributes["lesion_side"]


def middle_mm(scene):
    """The center of mass of what is above Otsu's threshold, computed anew."""
    voxels = scene.volume.voxels[0]
    places = np.argwhere(voxels > threshold_otsu(voxels))
    return apply_affine(scene.volume.affine, places).mean(axis=0)


def test_the_volume_that_is_measured_is_that_of_the_diameter(scene):
    voxel_mm3 = abs(np.linalg.det(scene.volume.affine[:3, :3]))
    for seed in range(10):
        added, diameter_mm, _ = planted(scene, seed, contrast=0.7)
        assert 8 <= diameter_mm <= 16
        radius, edge = diameter_mm / 2, np.cbrt(voxel_mm3)
        # of radii that are even over the width of the edge: the mean cube
        expected = 4 / 3 * np.pi * (radius**3 + radius * edge**2 / 4)
        assert added.sum() / 0.7 * voxel_mm3 == pytest.approx(expected, rel=0.02)
        assert added.max() == pytest.approx(0.7, abs=1e-5)


def test_the_side_is_that_of_its_center_of_mass_in_the_world(scene):
    middle, sides = middle_mm(scene), set()
    for seed in range(20):
        added, diameter_mm, side = planted(scene, seed)
        center = apply_affine(scene.volume.affine, ndimage.center_of_mass(added))
        beyond = center[0] - middle[0]  # R+
        assert side == ("right" if beyond > 0 else "left")
        assert abs(beyond) >= diameter_mm / 2 - 0.01
        sides.add(side)
    assert sides == {"left", "right"}


def test_both_sides_are_as_likely_where_there_is_more_tissue_on_one():
    # A shoulder on one side moves the middle, and leaves more voxels on the other.
    scene = head(AFFINES["straight"])
    voxels = scene.volume.voxels.copy()
    voxels[:, 34:42, 20:36, 8:26] = 0.6
    lopsided = Scene.of(Volume(voxels, scene.volume.affine))
    sides = [planted(lopsided, seed)[2] for seed in range(100)]
    assert 35 <= sides.count("left") <= 65


def test_its_center_is_in_tissue_with_tissue_around_it(scene):
    tissue = ndimage.binary_erosion(scene.foreground, np.ones((5, 7, 5)))  # 3 mm
    seen = set()
    for seed in range(20):
        added, _, _ = planted(scene, seed, margin_mm=3.0)
        center = tuple(np.round(ndimage.center_of_mass(added)).astype(int))
        assert tissue[center]
        seen.add(center)
    assert len(seen) > 15


def test_it_lies_within_an_image_that_is_tissue_up_to_its_border():
    voxels = np.full((1, 17, 17, 17), 0.6, np.float32)
    voxels[:, 8, 8, 8] = 0.0
    scene = Scene.of(Volume(voxels, np.eye(4)))
    for seed in range(20):
        added, diameter_mm, _ = planted(scene, seed, radius_mm=(2.0, 3.0), margin_mm=0.0)
        radius = diameter_mm / 2
        expected = 4 / 3 * np.pi * (radius**3 + radius / 4)
        assert added.sum() / 0.5 == pytest.approx(expected, rel=0.04)


def test_its_edge_is_as_wide_as_a_voxel():
    scene = head(AFFINES["straight"])
    added, diameter_mm, _ = planted(scene, 4, contrast=1.0)
    center = apply_affine(scene.volume.affine, np.round(ndimage.center_of_mass(added)))
    places = apply_affine(scene.volume.affine, np.argwhere(np.ones(SHAPE)))
    distance = np.linalg.norm(places - center, axis=1).reshape(SHAPE)
    half = np.cbrt(1.5 * 1.2 * 2.0) / 2
    within = distance < diameter_mm / 2 - half - 0.01
    beyond = distance > diameter_mm / 2 + half + 0.01
    np.testing.assert_allclose(added[within], 1, atol=1e-5)
    np.testing.assert_array_equal(added[beyond], 0)
    edge = added[~within & ~beyond]
    assert ((edge > 0.05) & (edge < 0.95)).sum() > 20
    # half of it where the radius ends
    np.testing.assert_allclose(
        edge, 0.5 + (diameter_mm / 2 - distance[~within & ~beyond]) / (2 * half), atol=0.02
    )


def test_a_background_is_the_volume_bit_for_bit(scene):
    found = piece(scene, is_target=False)
    np.testing.assert_array_equal(found.volume.voxels, scene.volume.voxels)
    np.testing.assert_array_equal(found.volume.affine, scene.volume.affine)
    assert found.attributes == {}


@pytest.mark.parametrize("is_target", [False, True])
def test_an_image_without_room_for_the_largest_ball_is_refused(is_target):
    scene = head(AFFINES["straight"])
    message = (
        r"room for a ball of 40 mm, \[57, 69, 43\] voxels, got an image of \[44, 56, 34\]; "
        r"set planting\.radius_mm lower"
    )
    with pytest.raises(DataError, match=message):
        piece(scene, radius_mm=(4, 40), is_target=is_target)


def test_tissue_that_is_too_thin_is_refused():
    scene = head(AFFINES["straight"], axes=(2.0, 25.0, 15.0))
    with pytest.raises(DataError, match=r"tissue on the (left|right) for a ball of .* lower, or"):
        piece(scene)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"radius_mm": (0.0, 4.0)}, r"radius_mm must be .* got \(0\.0, 4\.0\)"),
        ({"radius_mm": (5.0, 4.0)}, r"radius_mm must be .* got \(5\.0, 4\.0\)"),
        ({"contrast": 0.0}, r"contrast must be positive, got 0\.0"),
        ({"margin_mm": -1.0}, r"margin_mm must not be negative, got -1\.0"),
    ],
)
def test_what_makes_no_ball_is_refused(keys, message):
    with pytest.raises(ValueError, match=message):
        Lesion(**keys)
