import math

import pytest
import torch

from medssl.data.views.window_jitter import WindowJitter

SHAPES = [(3, 2, 9, 12), (3, 1, 9, 8, 7)]
PARAMETERS = torch.tensor([[0.1, 0.8], [-0.05, 1.25], [0.0, 1.0]])


@pytest.fixture(params=SHAPES)
def images(request):
    """What a window gives: all in [0, 1], and both ends in each view."""
    values = 2 * torch.rand(request.param, generator=torch.Generator().manual_seed(0)) - 0.5
    return values.clamp(0, 1)


def test_a_view_is_what_the_other_window_of_hounsfield_units_would_have_shown(images):
    """Where the first window did not clip: a window of -150 to 250, moved and widened."""
    found = WindowJitter().apply(images, PARAMETERS, [])
    for view, (center, width) in enumerate(PARAMETERS.tolist()):
        low = 50 + 400 * center - 200 * width
        high = 50 + 400 * center + 200 * width
        units = [-150 + 400 * value for value in images[view].flatten().tolist()]
        expected = [min(max((unit - low) / (high - low), 0), 1) for unit in units]
        assert found[view].flatten().tolist() == pytest.approx(expected, abs=1e-6)
    assert found.dtype == torch.float32


def test_the_same_window_changes_no_bit(images):
    parameters = torch.tensor([[0.0, 1.0]] * 3)
    assert torch.equal(WindowJitter().apply(images, parameters, []), images)


def test_what_the_first_window_clipped_becomes_an_even_gray(images):
    wider = torch.tensor([[0.0, 1.25]] * 3)
    found = WindowJitter().apply(images, wider, [])
    assert found[images == 0].tolist() == pytest.approx([0.1] * images.eq(0).sum().item())
    assert found[images == 1].tolist() == pytest.approx([0.9] * images.eq(1).sum().item())


def test_a_batch_gives_what_each_view_alone_gives(images):
    operation = WindowJitter()
    alone = [operation.apply(images[k : k + 1], PARAMETERS[k : k + 1], []) for k in range(3)]
    assert torch.equal(operation.apply(images, PARAMETERS, []), torch.cat(alone))


def test_parameters_fill_their_ranges_and_windows_widen_as_often_as_they_narrow():
    generator = torch.Generator().manual_seed(0)
    operation = WindowJitter(center=(-0.2, 0.1), width=(0.5, 2.0))
    center, width = torch.stack([operation.draw(generator, 3) for _ in range(2000)]).T
    assert [center.min().item(), center.max().item()] == pytest.approx([-0.2, 0.1], abs=0.01)
    assert [width.min().item(), width.max().item()] == pytest.approx([0.5, 2.0], abs=0.01)
    assert width.log().mean().item() == pytest.approx(0, abs=0.05)
    assert width.log().std().item() == pytest.approx(math.log(4) / math.sqrt(12), abs=0.02)


@pytest.mark.parametrize(
    ("key", "bounds"), [("center", (0.1, -0.1)), ("width", (0.0, 1.0)), ("width", (1.2, 0.8))]
)
def test_a_range_that_is_none_is_refused_by_name(key, bounds):
    with pytest.raises(ValueError, match=rf"{key} must be \(low, high\) .* got \({bounds[0]}"):
        WindowJitter(**{key: bounds})
