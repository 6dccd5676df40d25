import numpy as np
import pytest
import torch
from scipy.interpolate import BSpline
from torch.nn.functional import grid_sample

from medssl.data.view_plans import plan
from medssl.data.view_work import carry_out
from medssl.data.views._splines import at, spread, weights
from medssl.data.views.affine import Affine
from medssl.data.views.elastic import Elastic
from medssl.errors import ConfigError

CUBIC = BSpline.basis_element([-2, -1, 0, 1, 2], extrapolate=False)
SHAPES = [(12, 9), (11, 8, 9)]


def literal_field(control, spatial, place):
    """The field at a place of one view, control point by control point."""
    found = np.zeros(len(spatial))
    for point in np.ndindex(*control.shape[1:]):
        weight = 1.0
        for p, x, size, count in zip(point, place, spatial, control.shape[1:], strict=True):
            weight *= np.nan_to_num(CUBIC(x / ((size - 1) / (count - 1)) - p))
        found += weight * control[(slice(None), *point)]
    return found


@pytest.mark.parametrize("spatial", SHAPES)
def test_a_field_is_the_sum_of_splines_over_its_control_points(spatial):
    rng = np.random.default_rng(0)
    control = rng.normal(size=(2, len(spatial), *(4,) * len(spatial))).astype(np.float32)
    dense = spread(torch.from_numpy(control), spatial)
    places = rng.uniform(-2, np.array(spatial) + 1, (2, 5, len(spatial))).astype(np.float32)
    places[0, 0] = np.array(spatial) // 2
    found = at(torch.from_numpy(control), torch.from_numpy(places), spatial)
    for view in range(2):
        for point in range(5):
            literal = literal_field(control[view], spatial, places[view, point])
            np.testing.assert_allclose(found[view, point], literal, atol=1e-5)
    middle = tuple(size // 2 for size in spatial)
    np.testing.assert_allclose(dense[(0, slice(None), *middle)], found[0, 0], atol=1e-5)


def test_weights_sum_to_one_within_the_grid():
    inside = weights(torch.linspace(2.5, 7.5, 30), 11, 5).sum(-1)
    torch.testing.assert_close(inside, torch.ones(30))


@pytest.mark.parametrize("spatial", [(24, 20), (20, 18, 16)])
def test_the_strongest_bend_folds_nothing(spatial):
    for seed in range(8):
        planned = plan([Elastic(strength=(0.39, 0.39), control=4)], [seed], spatial)
        field = spread(planned.bends, spatial)[0].double().numpy()
        jacobian = np.stack([np.stack(np.gradient(axis), -1) for axis in field], -2)
        assert np.linalg.det(np.eye(len(spatial)) + jacobian).min() > 0
        assert np.abs(field).max() > 0.3


@pytest.mark.parametrize("spatial", SHAPES)
def test_no_strength_changes_no_bit(spatial):
    image = torch.rand(3, 2, *spatial)
    assert torch.equal(
        carry_out(plan([Elastic(strength=(0.0, 0.0))], [0, 1, 2], spatial), image), image
    )


def test_an_image_is_bent_before_it_is_turned_in_one_resampling():
    """At each voxel: the source at matrix @ (voxel + field), literally."""
    spatial, turn = (12, 10), Affine(rotation_deg=20.0, flip=(0.5, 0.5, 0.0))
    image = torch.rand(1, 1, *spatial, generator=torch.Generator().manual_seed(0))
    planned = plan([turn, Elastic(strength=(0.3, 0.3))], [3], spatial)
    field = spread(planned.bends, spatial)[0]
    grid = torch.zeros(1, *spatial, 2)
    middle = (torch.tensor(spatial) - 1) / 2
    for place in np.ndindex(*spatial):
        after = torch.tensor(place) - middle + field[(slice(None), *place)]
        before = planned.matrices[0, :2, :2] @ after + planned.matrices[0, :2, 2]
        grid[(0, *place)] = (before * 2 / torch.tensor(spatial)).flip(0)
    literal = grid_sample(image, grid, align_corners=False)
    torch.testing.assert_close(carry_out(planned, image), literal, rtol=0, atol=1e-5)


def test_views_bend_in_ways_of_their_own_and_some_not_at_all():
    planned = plan([Elastic(p=0.5)], range(100), (8, 8))
    assert 30 < len(planned.moved) < 70
    assert len({tuple(bend.flatten().tolist()) for bend in planned.bends}) == len(planned.moved)


def test_two_bends_are_refused():
    with pytest.raises(ConfigError, match="expected at most one operation that bends the grid"):
        plan([Elastic(), Elastic()], [0], (8, 8))


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ({"strength": (0.0, 0.4)}, r"strength must be in \[0, 0.4\), where nothing folds"),
        ({"strength": (-0.1, 0.1)}, r"strength must be in \[0, 0.4\)"),
        ({"control": 1}, "control must be at least 2 points along an axis, got 1"),
    ],
)
def test_what_would_fold_is_refused(arguments, line):
    with pytest.raises(ValueError, match=line):
        Elastic(**arguments)
