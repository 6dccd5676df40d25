import numpy as np
import pytest
from scipy.interpolate import RegularGridInterpolator

from medssl.data.phantom.anatomy import CENTER_MM, KNOTS_MM, draw_anatomy, sample
from medssl.data.phantom.grid import Grid


def one_anatomy(seed, deformation_mm=6.0):
    return draw_anatomy(np.random.default_rng(seed), deformation_mm=deformation_mm)


def cubic(t):
    t = abs(t)
    if t < 1:
        return 2 / 3 - t**2 + t**3 / 2
    return (2 - t) ** 3 / 6 if t < 2 else 0.0


def to_template_slowly(anatomy, point):
    """A B-spline by its definition: the sum over the knots of coefficient times basis."""
    centered = anatomy.linear @ point
    at = centered / KNOTS_MM + 5  # of 11 knots, number 5 is in the middle
    moved = np.zeros(3)
    for a, b, c in np.ndindex(11, 11, 11):
        weight = cubic(at[0] - a) * cubic(at[1] - b) * cubic(at[2] - c)
        moved += weight * anatomy.knots_mm[:, a, b, c]
    return centered + moved + CENTER_MM


def test_points_move_by_the_spline_of_the_definition():
    anatomy = one_anatomy(3)
    points = np.random.default_rng(4).uniform(-60, 60, size=(3, 7))
    slowly = np.stack([to_template_slowly(anatomy, point) for point in points.T], axis=1)
    np.testing.assert_allclose(anatomy.to_template(points), slowly, atol=1e-9)


def test_no_displacement_folds_the_anatomy():
    axis = np.linspace(-80, 80, 33)
    points = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"))
    for seed in range(3):
        moved = one_anatomy(seed).to_template(points.reshape(3, -1)).reshape(points.shape)
        columns = np.stack([np.gradient(moved, 5.0, axis=k) for k in (1, 2, 3)], axis=1)
        assert np.linalg.det(np.moveaxis(columns, (0, 1), (-2, -1))).min() > 0.1


def test_displacements_have_the_deviation_that_was_asked_for():
    points = np.random.default_rng(2).uniform(-100, 100, size=(3, 4000))
    moved = [
        one_anatomy(seed, 3.0).to_template(points) - one_anatomy(seed, 0.0).to_template(points)
        for seed in range(4)
    ]
    assert np.std(moved) == pytest.approx(3.0, rel=0.25)


def test_labels_are_where_the_template_has_the_tissue(template):
    anatomy = one_anatomy(5)
    affine = np.array([[0, 7.0, 0, -60], [5.0, 0, 0, -70], [0, 0, -6.0, 60], [0, 0, 0, 1.0]])
    label = sample(template, anatomy, Grid((25, 19, 18), affine, is_oblique=False)).label()

    rng = np.random.default_rng(6)
    axes = [
        template.affine[k, 3] + template.affine[k, k] * np.arange(template.maps.shape[1 + k])
        for k in range(3)
    ]
    read = [RegularGridInterpolator(axes, map_) for map_ in template.maps[:2].astype(float)]
    counts = np.zeros(3, int)
    for index in rng.integers((25, 19, 18), size=(60, 3)):
        point = to_template_slowly(anatomy, affine[:3, :3] @ index + affine[:3, 3])
        gray, white = (float(map_(point)[0]) for map_ in read)
        expected = int(np.argmax([1 - gray - white, gray, white]))
        assert label[tuple(index)] == expected
        counts[expected] += 1
    assert (counts > 5).all()


def test_tissues_fill_the_head_and_nothing_beyond(template):
    anatomy = one_anatomy(5, 0.0)
    tissues = sample(
        template, anatomy, Grid((40, 48, 40), np.diag([5.0, 5, 5, 1]) + _shift(), is_oblique=False)
    )
    *parts, texture = tissues
    total = sum(parts)
    assert total.max() <= 1.001
    assert total[20, 24, 20] == pytest.approx(1, abs=0.01)
    assert total[0, 0].max() == 0
    assert 0.01 < texture[tissues.white > 0.9].std() < 0.2


def _shift():
    shift = np.zeros((4, 4))
    shift[:3, 3] = -100, -120, -100
    return shift


def test_two_subjects_differ(template):
    grid = Grid((38, 44, 30), np.diag([5.0, 5, 5, 1]) + _shift(), is_oblique=False)
    a, b = (sample(template, one_anatomy(seed, 3.0), grid).label() == 2 for seed in (1, 2))
    overlap = 2 * (a & b).sum() / (a.sum() + b.sum())
    assert 0.2 < overlap < 0.8
