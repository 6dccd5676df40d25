import numpy as np
import pytest
import torch
from scipy import stats

from medssl.data.views.rician_noise import RicianNoise

SHAPES = [(3, 2, 9, 12), (3, 1, 9, 8, 7)]
STDS = torch.tensor([[0.1], [0.0], [0.3]])
SEEDS = [7, 8, 9]


@pytest.fixture(params=SHAPES)
def images(request):
    """Some channels go below 0, some do not."""
    values = torch.rand(request.param, generator=torch.Generator().manual_seed(0))
    values[0] -= 0.4
    return values


def test_a_view_is_the_magnitude_above_each_channels_minimum(images):
    found = RicianNoise().apply(images, STDS, SEEDS)
    for view, seed in enumerate(SEEDS):
        generator = torch.Generator().manual_seed(seed)
        fields = torch.randn(2, *images.shape[1:], generator=generator).double().numpy()
        for channel, values in enumerate(images[view].double().numpy()):
            low = min(values.min(), 0)
            real, imaginary = STDS[view].item() * fields[:, channel]
            expected = np.sqrt((values - low + real) ** 2 + imaginary**2) + low
            np.testing.assert_allclose(found[view, channel], expected, atol=1e-6)
    assert found.dtype == torch.float32


def test_voxels_are_distributed_as_rice_says():
    for signal in (0.0, 0.2):
        image = torch.full((1, 1, 60, 50), signal)
        found = RicianNoise().apply(image, torch.tensor([[0.1]]), [3]).flatten().numpy()
        assert stats.kstest(found, stats.rice(signal / 0.1, scale=0.1).cdf).pvalue > 0.01


def test_no_noise_changes_no_bit(images):
    assert torch.equal(RicianNoise().apply(images, torch.zeros(3, 1), SEEDS), images)


def test_nothing_falls_below_the_minimum_or_0(images):
    images[1] = 0
    found = RicianNoise().apply(images, torch.full((3, 1), 0.5), SEEDS)
    low = images.flatten(2).min(2).values.clamp(max=0)
    assert (found.flatten(2).min(2).values >= low).all()


def test_a_batch_gives_what_each_view_alone_gives(images):
    operation = RicianNoise()
    alone = [
        operation.apply(images[k : k + 1], STDS[k : k + 1], SEEDS[k : k + 1]) for k in range(3)
    ]
    assert torch.equal(operation.apply(images, STDS, SEEDS), torch.cat(alone))


def test_deviations_fill_their_range():
    generator = torch.Generator().manual_seed(0)
    drawn = torch.cat([RicianNoise(std=(0.1, 0.2)).draw(generator, 3) for _ in range(2000)])
    assert [drawn.min().item(), drawn.max().item()] == pytest.approx([0.1, 0.2], abs=0.01)


@pytest.mark.parametrize(
    ("std", "line"),
    [
        ((0.2, 0.1), r"std must be \(low, high\) .* got \(0.2, 0.1\)"),
        ((-0.1, 0.1), r"std must not be below 0, got \(-0.1, 0.1\)"),
    ],
)
def test_what_is_no_deviation_is_refused(std, line):
    with pytest.raises(ValueError, match=line):
        RicianNoise(std=std)
