import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn.functional import grid_sample

from medssl import lookup
from medssl.data.augment import _places, augment
from medssl.data.correspondence import correspond, grid, places_in_case
from medssl.data.crops import Crops
from medssl.data.view_plans import plan
from medssl.data.views import Views
from medssl.data.views.affine import Affine
from medssl.data.views.crop_resize import CropResize
from medssl.data.views.elastic import Elastic
from medssl.data.views.one_movement import OneMovement

FLIPS = (0.5, 0.5, 0.5)
MOVES = {
    "nothing": [],
    "straight": [CropResize(ratio=(0.6, 0.9), through_plane=True), Affine(flip=FLIPS)],
    "bent": [Affine(flip=FLIPS), Elastic(strength=(0.2, 0.3))],
    "one": [OneMovement()],
    "all": [Affine(flip=FLIPS), Elastic(strength=(0.0, 0.3)), CropResize(ratio=(0.7, 0.9))],
}
SLOPES = torch.tensor([1.0, 0.25, -0.75])  # which float32 holds


def test_every_operation_that_moves_or_bends_is_here():
    family = "medssl.data.views"
    found = [lookup.find(family, name) for name in lookup.names(family)]
    moving = {one for one in found if hasattr(one, "matrix") or hasattr(one, "bend")}
    assert moving == {type(one) for moves in MOVES.values() for one in moves}


@pytest.fixture(params=[(20, 18), (16, 18, 14)])
def crops(request):
    """Two views of two items; a voxel's value is linear in its place in the case."""
    dims = len(request.param)
    start = torch.tensor([[[5, 9, 3], [8, 7, 3]], [[0, 2, 6], [3, 5, 6]]])
    if dims == 3:
        start[:, 1, 2] += 2
    axes = torch.stack(torch.meshgrid(*map(torch.arange, request.param), indexing="ij"))
    places = axes + start[..., :dims].reshape(2, 2, dims, *(1,) * dims)
    image = (places * SLOPES[:dims].reshape(-1, *(1,) * dims)).sum(2)
    if dims == 2:
        image = image + SLOPES[2] * start[..., 2, None, None]
    one = torch.zeros(2, dtype=torch.int64)
    seed, along = torch.arange(4).reshape(2, 2), torch.arange(dims).repeat(2, 2, 1)
    return Crops(image[:, :, None], start, along, seed, one, one, one, torch.full((2, 3), 30))


def inside_of_crop(places, crops, view, margin=0.0):
    """Which places the view's crop holds: beyond it a view is filled up with zeros."""
    dims = crops.image.ndim - 3
    low = crops.start[:, view, None, :dims]
    last = low + torch.tensor(crops.image.shape[3:]) - 1
    found = places[..., :dims]
    return ((found >= low + margin) & (found <= last - margin)).all(-1)


@pytest.mark.parametrize("moves", MOVES.values(), ids=MOVES)
@pytest.mark.parametrize("plain_views", [0, 1])
def test_a_view_holds_what_its_case_has_at_its_places(crops, moves, plain_views):
    views = augment(crops, moves, plain_views=plain_views)
    for view in range(2):
        places = places_in_case(views, view, grid(views))
        inside = inside_of_crop(places, crops, view)
        assert inside.float().mean() > 0.4
        held = views.images[view].flatten(1)
        torch.testing.assert_close(
            held[inside], (places @ SLOPES)[inside], rtol=0, atol=2e-3 if moves else 0
        )


@pytest.mark.parametrize("moves", MOVES.values(), ids=MOVES)
def test_places_that_correspond_are_one_place_of_the_case(crops, moves):
    views = augment(crops, moves)
    points = grid(views)
    found = correspond((views, 0), (views, 1), points)
    there = places_in_case(views, 1, found.places)
    torch.testing.assert_close(there, places_in_case(views, 0, points), rtol=0, atol=2e-3)
    back = correspond((views, 1), (views, 0), found.places)
    torch.testing.assert_close(back.places, points, rtol=0, atol=5e-3)
    assert 0.1 < found.inside.float().mean() < 1


@pytest.mark.parametrize("moves", MOVES.values(), ids=MOVES)
def test_the_other_view_read_at_the_places_that_correspond_is_this_view(crops, moves):
    views = augment(crops, moves)
    points = grid(views)
    found = correspond((views, 0), (views, 1), points)
    size = torch.tensor(views.images.shape[3:])
    normal = ((2 * found.places + 1) / size - 1).flip(-1)
    normal = normal.reshape(2, *views.images.shape[3:], len(size))
    read = grid_sample(views.images[1], normal, align_corners=False).flatten(1)
    places = places_in_case(views, 0, points)
    # Where all that is interpolated is inside of both crops.
    sure = found.inside & inside_of_crop(places, crops, 0) & inside_of_crop(places, crops, 1, 2.0)
    sure &= ((found.places >= 0) & (found.places <= size - 1)).all(-1)
    assert sure.sum() > 50
    torch.testing.assert_close(
        read[sure],
        views.images[0].flatten(1)[sure],
        rtol=0,
        atol=0.12 if "Elastic" in str(moves) else 5e-3,
    )


def test_the_strongest_bend_is_undone(crops):
    views = augment(crops, [Elastic(strength=(0.39, 0.39))])
    points = grid(views)
    there = places_in_case(views, 1, correspond((views, 0), (views, 1), points).places)
    torch.testing.assert_close(there, places_in_case(views, 0, points), rtol=0, atol=1e-3)


def test_everything_happens_on_the_device_of_the_crops(crops):
    views = augment(crops, MOVES["all"], plain_views=1)
    planned = plan(MOVES["all"], crops.seed.T[1:].flatten().tolist(), views.images.shape[3:])
    with FakeTensorMode(allow_non_fake_inputs=True) as mode:
        there = crops._replace(
            **{
                name: mode.from_tensor(getattr(crops, name)).to("cuda")
                for name in ("start", "axes")
            }
        )
        places = _places(planned, there, 1)
        moved = Views(*(mode.from_tensor(part).to("cuda") for part in views))
        found = correspond((moved, 0), (moved, 1), grid(moved))
    assert {part.device.type for part in (*places, *found)} == {"cuda"}
    assert [part.shape for part in places] == [views.matrix.shape, views.bend.shape]


def test_a_point_that_the_other_view_does_not_have_is_said_to_be_outside(crops):
    views = augment(crops, [])
    points = torch.zeros(2, 1, crops.image.ndim - 3)
    found = correspond((views, 0), (views, 1), points)
    assert found.places[0, 0, 0] == -3
    assert not found.inside.any()
