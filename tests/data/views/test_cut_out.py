import math

import numpy as np
import pytest
import torch

from medssl.data.views.cut_out import CutOut

SHAPES = [(3, 2, 9, 12), (3, 1, 9, 8, 7)]


@pytest.fixture(params=SHAPES)
def images(request):
    return torch.rand(request.param, generator=torch.Generator().manual_seed(0)) + 0.5


def drawn(operation, count, spatial_dims):
    generator = torch.Generator().manual_seed(1)
    return torch.stack([operation.draw(generator, spatial_dims) for _ in range(count)])


@pytest.mark.parametrize("count", [1, 3])
def test_a_view_is_0_in_its_boxes_and_itself_elsewhere(images, count):
    operation = CutOut(count=count)
    spatial = images.shape[2:]
    parameters = drawn(operation, 3, len(spatial))
    expected = images.numpy().copy()
    for view, row in enumerate(parameters.double().numpy()):
        sides, places = row.reshape(2, count, len(spatial))
        for side, place in zip(sides, places, strict=True):
            box = []
            for share, where, size in zip(side, place, spatial, strict=True):
                length = math.ceil(share * size)
                start = math.floor(where * (size - length + 1))
                box.append(slice(start, start + length))
            expected[(view, slice(None), *box)] = 0
    found = operation.apply(images, parameters, [])
    assert np.array_equal(found.numpy(), expected)
    assert found.dtype == torch.float32


def test_boxes_of_no_side_change_no_bit(images):
    dims = images.ndim - 2
    parameters = torch.cat([torch.zeros(3, dims), torch.full((3, dims), 0.5)], dim=1)
    assert torch.equal(CutOut().apply(images, parameters, []), images)


@pytest.mark.parametrize("spatial", [(20, 30), (20, 10, 30)])
def test_boxes_lie_inside_have_the_sides_that_were_asked_for_and_reach_all_borders(spatial):
    dims, views = len(spatial), 500
    operation = CutOut(side=(0.2, 0.5))
    cut = operation.apply(torch.ones(views, 1, *spatial), drawn(operation, views, dims), []) == 0
    for axis, size in enumerate(spatial):
        others = tuple(2 + other for other in range(dims) if other != axis)
        along = cut.any(others)[:, 0]
        lengths = along.sum(1)
        assert lengths.min() >= 0.2 * size
        assert lengths.max() == math.ceil(0.5 * size)
        assert along.diff(dim=1).sum(1).max() <= 2  # in one piece
        assert along[:, 0].any()
        assert along[:, -1].any()


def test_a_place_just_below_1_keeps_the_whole_box():
    below = torch.nextafter(torch.tensor(1.0), torch.tensor(0.0)).item()
    parameters = torch.tensor([[0.1, 0.2, below, below]])
    found = CutOut().apply(torch.ones(1, 1, 100, 100), parameters, [])
    assert found[0, 0, -10:, -20:].eq(0).all()
    assert found.eq(0).sum() == 200


def test_the_smallest_box_is_a_voxel():
    operation = CutOut(side=(0.01, 0.01))
    found = operation.apply(torch.ones(20, 1, 9, 8), drawn(operation, 20, 2), [])
    assert found.eq(0).flatten(1).sum(1).tolist() == [1] * 20


def test_a_batch_gives_what_each_view_alone_gives(images):
    operation = CutOut(count=2)
    parameters = drawn(operation, 3, images.ndim - 2)
    alone = [operation.apply(images[k : k + 1], parameters[k : k + 1], []) for k in range(3)]
    assert torch.equal(operation.apply(images, parameters, []), torch.cat(alone))


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ({"side": (0.0, 0.5)}, r"side must be \(low, high\) .* got \(0.0, 0.5\)"),
        ({"side": (0.6, 0.5)}, r"side must be \(low, high\) .* got \(0.6, 0.5\)"),
        ({"side": (0.5, 1.5)}, r"side must not be above 1, .* got \(0.5, 1.5\)"),
        ({"count": 0}, "count must be at least 1 box, got 0"),
    ],
)
def test_a_box_that_is_none_is_refused(arguments, line):
    with pytest.raises(ValueError, match=line):
        CutOut(**arguments)
