"""Against the equation, image by image and bin by bin, with numpy's complete FFT in float64."""

import numpy as np
import pytest
import torch

from medssl.data.augment import augment
from medssl.data.crops import Crops
from medssl.data.view_plans import plan
from medssl.data.view_work import carry_out
from medssl.data.views.bss import BatchStyleStandardization
from medssl.data.views.gamma import Gamma

SHAPES = [(8, 11), (9, 12), (8, 6, 10), (7, 9, 5), (6, 5, 8)]
SIDES = [0.0, 0.3, 0.6, 1.0]


@pytest.fixture(params=SHAPES)
def images(request):
    """Two views of four items of two channels; each item of a mean and a spread of its own."""
    generator = torch.Generator().manual_seed(0)
    values = torch.rand(2, 4, 2, *request.param, generator=generator)
    return (values * torch.arange(1, 5).reshape(1, 4, *(1,) * (values.ndim - 2))).float()


def together(images, *rows):
    return BatchStyleStandardization().apply_together(images, torch.tensor(rows))


def low(place, spatial, side):
    """Whether a bin is in the window: as far from 0 on this side as on that, by whole bins."""
    signed = [p if p <= size // 2 else p - size for p, size in zip(place, spatial, strict=True)]
    return all(abs(f) <= side * n // 2 for f, n in zip(signed, spatial, strict=True))


def literal(images, side, reference):
    """One view-batch; what comes back is complex, as the inverse transform leaves it."""
    spatial = images.shape[2:]
    found = np.empty(images.shape, dtype=complex)
    for item, channel in np.ndindex(*images.shape[:2]):
        own = np.fft.fftn(images[item, channel])
        style = np.abs(np.fft.fftn(images[reference, channel]))
        for place in np.ndindex(*spatial):
            if low(place, spatial, side):
                own[place] = style[place] * np.exp(1j * np.angle(own[place]))
        found[item, channel] = np.fft.ifftn(own)
    return found


@pytest.mark.parametrize("side", SIDES)
def test_amplitudes_of_the_window_are_the_references_and_phases_are_kept(images, side):
    found = together(images, [side, 0.6], [side, 0.1])
    for view, reference in enumerate([2, 0]):
        expected = literal(images[view].double().numpy(), side, reference)
        # The window is symmetric, up to the highest frequency of an even size.
        assert np.abs(expected.imag).max() < 1e-7
        np.testing.assert_allclose(found[view], expected.real, atol=1e-5)
    assert found.dtype == torch.float32


@pytest.mark.parametrize("side", SIDES)
def test_the_reference_changes_in_no_bit_and_the_others_change(images, side):
    found = together(images, [side, 0.6], [side, 0.1])
    same = (found == images).flatten(2).all(2)
    assert same.tolist() == [[False, False, True, False], [True, False, False, False]]


@pytest.mark.parametrize("side", SIDES)
def test_all_means_become_the_references(images, side):
    found = together(images, [side, 0.6], [side, 0.1])
    means, before = found.flatten(3).mean(3), images.flatten(3).mean(3)
    torch.testing.assert_close(means, before[[0, 1], [2, 0]][:, None].expand(-1, 4, -1))


def test_a_window_of_one_bin_matches_means_and_no_more(images):
    found = together(images, [0.0, 0.6], [0.0, 0.1])
    shift = (found - images).flatten(3)
    torch.testing.assert_close(shift, shift.mean(3, keepdim=True).expand_as(shift))


@pytest.mark.parametrize("side", SIDES)
def test_once_more_changes_nothing(images, side):
    once = together(images, [side, 0.6], [side, 0.1])
    torch.testing.assert_close(together(once, [side, 0.6], [side, 0.1]), once, rtol=0, atol=1e-5)


def test_bins_outside_the_window_keep_phase_and_amplitude(images):
    side, spatial = 0.3, images.shape[3:]
    found = together(images, [side, 0.6], [side, 0.1])
    axes = tuple(range(3, images.ndim))
    before, after = (np.fft.fftn(each.double().numpy(), axes=axes) for each in (images, found))
    outside = np.array([not low(place, spatial, side) for place in np.ndindex(*spatial)])
    outside = outside.reshape(spatial)
    assert outside.any()
    np.testing.assert_allclose(after[..., outside], before[..., outside], atol=1e-4)


def test_an_image_of_nothing_gets_the_amplitudes_without_a_phase(images):
    images[0, 1] = 0
    found = together(images, [1.0, 0.6], [1.0, 0.1])
    expected = literal(images[0].double().numpy(), 1.0, 2)
    np.testing.assert_allclose(found[0], expected.real, atol=1e-5)


def test_halved_precision_around_it_changes_nothing(images):
    alone = together(images, [0.6, 0.6], [0.6, 0.1])
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(together(images, [0.6, 0.6], [0.6, 0.1]), alone)


# In a plan


def crops(images, seed):
    count = images.shape[1]
    return Crops(
        image=images.transpose(0, 1),
        start=torch.zeros(count, 2, 3, dtype=torch.int64),
        axes=torch.arange(images.ndim - 3).repeat(count, 2, 1),
        seed=seed,
        volume=torch.arange(count),
        part=torch.zeros(count, dtype=torch.int64),
        subject=torch.arange(count),
        extent=torch.full((count, 3), 30),
    )


def test_every_view_is_of_its_own_reference_and_window(images):
    seed = torch.arange(8).reshape(4, 2)
    found = augment(crops(images, seed), [BatchStyleStandardization(side=(0.1, 0.9))]).images
    spatial = tuple(images.shape[3:])
    for view in range(2):
        seeds = seed[:, view].tolist()
        alone = plan([BatchStyleStandardization(side=(0.1, 0.9))], seeds, spatial)
        torch.testing.assert_close(found[view], carry_out(alone, images[view]))
    (change,) = plan([BatchStyleStandardization()], range(800), spatial, batches=200).changes
    assert len(change.parameters[:, 0].unique()) == 200
    items, counts = (change.parameters[:, 1] * 4).long().unique(return_counts=True)
    assert items.tolist() == [0, 1, 2, 3]
    assert counts.min() > 30


def test_draws_are_a_function_of_all_seeds_of_the_view(images):
    spatial = tuple(images.shape[3:])

    def drawn(seeds):
        return plan([BatchStyleStandardization()], seeds, spatial).changes[0].parameters

    assert torch.equal(drawn([1, 2, 3]), drawn([1, 2, 3]))
    assert not torch.equal(drawn([1, 2, 3]), drawn([1, 2, 4]))
    first, second = plan([BatchStyleStandardization()] * 2, [1, 2], spatial).changes
    assert not torch.equal(first.parameters, second.parameters)


def test_other_operations_draw_as_if_it_were_not_there():
    (alone,) = plan([Gamma()], [1, 2], (4, 4)).changes
    (_, after) = plan([BatchStyleStandardization(), Gamma()], [1, 2], (4, 4)).changes
    assert torch.equal(alone.parameters, after.parameters)


def test_a_view_is_touched_as_a_whole_and_as_often_as_p_says():
    operation = BatchStyleStandardization(p=0.5)
    (change,) = plan([operation], range(600), (4, 4), batches=200).changes
    assert 70 < len(change.parameters) < 130
    assert len(change.views) == 3 * len(change.parameters)
    wholes = torch.tensor(change.views).reshape(-1, 3)
    assert torch.equal(wholes, wholes[:, :1] // 3 * 3 + torch.arange(3))


def test_plain_views_are_no_part_of_it(images):
    seed = torch.arange(8).reshape(4, 2)
    operations = [BatchStyleStandardization(side=(0.1, 0.9))]
    found = augment(crops(images, seed), operations, plain_views=1).images
    assert torch.equal(found[0], images[0])
    torch.testing.assert_close(found[1], augment(crops(images, seed), operations).images[1])


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ({"side": (0.2, 0.1)}, r"side must be \(low, high\) .* got \(0.2, 0.1\)"),
        ({"side": (0.1, 1.1)}, r"side must be in \[0, 1\], a share of the spectrum, got"),
        ({"side": (-0.1, 0.5)}, r"side must be in \[0, 1\], a share of the spectrum, got"),
    ],
)
def test_a_window_that_is_none_is_refused(arguments, line):
    with pytest.raises(ValueError, match=line):
        BatchStyleStandardization(**arguments)
