"""Each intensity operation against its formula, written out for a view at a time."""

import numpy as np
import pytest
import torch
from scipy import ndimage

from medssl.data.views import blur
from medssl.data.views.blur import Blur
from medssl.data.views.gamma import Gamma
from medssl.data.views.intensity_shift import IntensityShift
from medssl.data.views.noise import Noise

SHAPES = [(3, 2, 9, 12), (3, 1, 9, 8, 7)]


@pytest.fixture(params=SHAPES)
def images(request):
    return 2 * torch.rand(request.param, generator=torch.Generator().manual_seed(0)) - 0.5


def draws(operation):
    generator = torch.Generator().manual_seed(0)
    return torch.stack([operation.draw(generator, 3) for _ in range(2000)])


def test_contrast_is_about_each_channels_mean(images):
    parameters = torch.tensor([[0.2, 1.3], [-0.3, 0.7], [0.0, 1.0]])
    for clip in (None, (0.0, 1.5)):
        found = IntensityShift(clip=clip).apply(images, parameters, [])
        for view, (offset, contrast) in enumerate(parameters.tolist()):
            for channel, values in enumerate(images[view].double().numpy()):
                expected = (values - values.mean()) * contrast + values.mean() + offset
                expected = expected if clip is None else expected.clip(*clip)
                np.testing.assert_allclose(found[view, channel], expected, atol=1e-6)


def test_gamma_bends_what_lies_between_0_and_1(images):
    found = Gamma().apply(images, torch.tensor([[0.5], [1.0], [2.0]]), [])
    for view, exponent in enumerate((0.5, 1.0, 2.0)):
        values = images[view].flatten().tolist()
        expected = [value**exponent if 0 <= value <= 1 else value for value in values]
        assert found[view].flatten().tolist() == pytest.approx(expected, abs=1e-6)


def test_noise_has_the_deviation_that_was_drawn_and_is_its_seeds_own():
    images = torch.zeros(3, 1, 40, 50)
    found = Noise().apply(images, torch.tensor([[0.1], [0.3], [0.3]]), [7, 8, 7])
    assert found.flatten(1).std(1).tolist() == pytest.approx([0.1, 0.3, 0.3], rel=0.05)
    assert found.mean() == pytest.approx(0, abs=0.01)
    torch.testing.assert_close(found[0] * 3, found[2])
    assert abs(np.corrcoef(found[1].flatten(), found[2].flatten())[0, 1]) < 0.1


def test_blur_is_scipys_away_from_the_border():
    image = torch.rand(2, 1, 30, 28, 26, generator=torch.Generator().manual_seed(0))
    found = Blur().apply(image, torch.tensor([[0.8], [1.2]]), [])
    for view, sigma in enumerate((0.8, 1.2)):
        expected = ndimage.gaussian_filter(image[view, 0].double().numpy(), sigma, truncate=8)
        inside = (slice(9, -9),) * 3
        np.testing.assert_allclose(found[view, 0][inside], expected[inside], atol=1e-5)


def test_blur_multiplies_by_no_number_that_is_subnormal():
    weights = blur._weights(torch.tensor([[[0.5]], [[1.0]], [[3.0]]]), 64)
    assert (weights == 0).any()
    assert weights[weights > 0].min() > torch.finfo(torch.float32).tiny


def test_blur_leaves_an_even_image_even(images):
    even = torch.full_like(images, 3.0)
    torch.testing.assert_close(Blur().apply(even, torch.full((3, 1), 2.0), []), even)


@pytest.mark.parametrize(
    ("operation", "neutral"),
    [(IntensityShift(clip=None), [0.0, 1.0]), (Gamma(), [1.0]), (Noise(), [0.0]), (Blur(), [0.01])],
)
def test_neutral_parameters_change_no_bit(operation, neutral, images):
    parameters = torch.tensor([neutral] * 3)
    assert torch.equal(operation.apply(images, parameters, [1, 2, 3]), images)


@pytest.mark.parametrize(
    ("operation", "bounds"),
    [
        (IntensityShift(), [(-0.3, 0.3), (0.7, 1.3)]),
        (Gamma(exponent=(0.5, 2.0)), [(0.5, 2.0)]),
        (Noise(std=(0.1, 0.2)), [(0.1, 0.2)]),
        (Blur(sigma_vox=(0.4, 0.9)), [(0.4, 0.9)]),
    ],
)
def test_parameters_fill_their_ranges(operation, bounds):
    drawn = draws(operation)
    for values, (low, high) in zip(drawn.T, bounds, strict=True):
        assert [values.min().item(), values.max().item()] == pytest.approx([low, high], abs=0.02)
        assert low - 1e-6 <= values.min() <= values.max() <= high + 1e-6


def test_gamma_brightens_as_often_as_it_darkens():
    assert (draws(Gamma(exponent=(0.5, 2.0))) > 1).float().mean() == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize(
    ("operation", "key", "bounds"),
    [
        (IntensityShift, "offset", (0.3, -0.3)),
        (IntensityShift, "contrast", (1.3, 0.7)),
        (IntensityShift, "clip", (1.0, 0.0)),
        (Gamma, "exponent", (0.0, 1.0)),
        (Noise, "std", (0.2, 0.1)),
        (Blur, "sigma_vox", (0.0, 1.0)),
    ],
)
def test_a_range_that_is_none_is_refused_by_name(operation, key, bounds):
    with pytest.raises(ValueError, match=rf"{key} must be \(low, high\) .* got \({bounds[0]}"):
        operation(**{key: bounds})
