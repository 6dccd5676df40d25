import math

import numpy as np
import pytest
import torch
from torch.nn.functional import interpolate

from medssl.data.views.low_resolution import LowResolution

SHAPES = [(3, 2, 9, 12), (3, 1, 9, 8, 7), (3, 1, 6, 5, 1)]
ZOOMS = torch.tensor([[0.55], [0.83], [0.97]])


@pytest.fixture(params=SHAPES)
def images(request):
    return 2 * torch.rand(request.param, generator=torch.Generator().manual_seed(0)) - 0.5


def literal(values, zoom, axis):
    """One axis there and back, as a coarse list of lines that numpy interpolates between."""
    lines = np.moveaxis(values, axis, -1)
    size = lines.shape[-1]
    count = max(round(size * zoom), 1)
    coarse = [(size - 1) / 2 + (point - (count - 1) / 2) / zoom for point in range(count)]
    nearest = [math.floor(place + 0.5) for place in coarse]
    back = np.empty_like(lines)
    for line in np.ndindex(*lines.shape[:-1]):
        back[line] = np.interp(range(size), coarse, lines[line][nearest])
    return np.moveaxis(back, -1, axis)


def test_a_view_is_sampled_coarsely_and_interpolated_along_each_axis(images):
    found = LowResolution().apply(images, ZOOMS, [])
    for view, zoom in enumerate(ZOOMS[:, 0].tolist()):
        expected = images[view].double().numpy()
        for axis in range(1, expected.ndim):
            expected = literal(expected, zoom, axis)
        np.testing.assert_allclose(found[view], expected, atol=1e-5)
    assert found.dtype == torch.float32


@pytest.mark.parametrize(("spatial", "mode"), [((24, 12), "bilinear"), ((16, 12, 8), "trilinear")])
@pytest.mark.parametrize("zoom", [0.25, 0.5, 0.75])
def test_grids_of_whole_voxels_are_torchs(spatial, mode, zoom):
    image = torch.rand(1, 2, *spatial, generator=torch.Generator().manual_seed(0))
    coarse = interpolate(image, size=[int(size * zoom) for size in spatial], mode="nearest-exact")
    expected = interpolate(coarse, size=spatial, mode=mode, align_corners=False)
    found = LowResolution().apply(image, torch.tensor([[zoom]]), [])
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


def test_a_zoom_of_1_changes_no_bit_beside_one_that_does(images):
    assert torch.equal(LowResolution().apply(images, torch.ones(3, 1), []), images)
    found = LowResolution().apply(images, torch.tensor([[1.0], [0.5], [1.0]]), [])
    assert torch.equal(found[::2], images[::2])
    assert not torch.equal(found[1], images[1])


def test_an_even_image_stays_even(images):
    even = torch.full_like(images, 3.0)
    torch.testing.assert_close(LowResolution().apply(even, ZOOMS, []), even)


def test_a_batch_gives_what_each_view_alone_gives(images):
    operation = LowResolution()
    alone = [operation.apply(images[k : k + 1], ZOOMS[k : k + 1], []) for k in range(3)]
    together = operation.apply(images, ZOOMS, [])
    torch.testing.assert_close(together, torch.cat(alone), rtol=0, atol=1e-6)


def test_zooms_fill_their_range():
    generator = torch.Generator().manual_seed(0)
    drawn = torch.cat([LowResolution(zoom=(0.3, 0.8)).draw(generator, 3) for _ in range(2000)])
    assert [drawn.min().item(), drawn.max().item()] == pytest.approx([0.3, 0.8], abs=0.01)


@pytest.mark.parametrize("zoom", [(0.0, 0.5), (0.6, 0.5), (0.5, 1.5)])
def test_a_zoom_that_is_none_is_refused(zoom):
    with pytest.raises(ValueError, match=r"zoom must .* got \(0"):
        LowResolution(zoom=zoom)
