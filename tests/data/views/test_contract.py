"""What every view operation keeps, found by its file alone: a new one is tested unasked."""

import pytest
import torch

from medssl import lookup
from medssl.data.view_plans import plan
from medssl.data.view_work import carry_out
from medssl.data.views import (
    BatchOperation,
    BendingOperation,
    IntensityOperation,
    MovingOperation,
    ViewOperation,
)

FAMILY = "medssl.data.views"
SHAPES = [(2, 9, 12), (1, 9, 8, 7)]
SEEDS = [3, 1, 4, 15, 9]
TOGETHER = ["bss"]
PERHAPS = ["one_movement"]  # one of its five movements is none, another one of two mirror images


@pytest.fixture(params=lookup.names(FAMILY))
def name(request):
    return request.param


@pytest.fixture(params=sorted(set(lookup.names(FAMILY)) - set(TOGETHER)))
def single(request):
    """One that does to a view what the view's own seed says."""
    return request.param


@pytest.fixture(params=sorted(set(lookup.names(FAMILY)) - {*TOGETHER, *PERHAPS}))
def sure(request):
    """One that changes every view that it touches."""
    return request.param


@pytest.fixture(params=SHAPES)
def images(request):
    generator = torch.Generator().manual_seed(0)
    return torch.rand(len(SEEDS), *request.param, generator=generator)


def augmented(operation, images, seeds=SEEDS):
    return carry_out(plan([operation], seeds, tuple(images.shape[2:])), images)


def test_the_family_is_what_it_was():
    moving = [n for n in lookup.names(FAMILY) if hasattr(lookup.find(FAMILY, n), "matrix")]
    bending = [n for n in lookup.names(FAMILY) if hasattr(lookup.find(FAMILY, n), "bend")]
    assert moving == ["affine", "crop_resize", "one_movement"]
    assert bending == ["elastic"]
    assert [
        n for n in lookup.names(FAMILY) if hasattr(lookup.find(FAMILY, n), "apply_together")
    ] == TOGETHER
    assert len(lookup.names(FAMILY)) == 15


def test_a_member_is_of_one_kind(name):
    operation = lookup.build(FAMILY, name)
    assert isinstance(operation, ViewOperation)
    kinds = (MovingOperation, BendingOperation, IntensityOperation, BatchOperation)
    assert sum(isinstance(operation, kind) for kind in kinds) == 1


def test_a_batch_gives_what_each_view_alone_gives(single, images):
    operation = lookup.build(FAMILY, single)
    alone = [
        augmented(operation, image[None], [seed])[0]
        for image, seed in zip(images, SEEDS, strict=True)
    ]
    torch.testing.assert_close(augmented(operation, images), torch.stack(alone), rtol=0, atol=1e-6)


def test_every_view_changes_as_its_own_seed_says(sure, images):
    operation = lookup.build(FAMILY, sure)
    even = images[:1].expand_as(images)
    changed = augmented(operation, even)
    assert torch.equal(changed, augmented(operation, even))
    assert changed.shape == images.shape
    assert changed.isfinite().all()
    different = [images[0], *changed]
    assert not any(
        torch.equal(one, other) for k, one in enumerate(different) for other in different[:k]
    )


def test_the_input_is_left_alone(name, images):
    before = images.clone()
    augmented(lookup.build(FAMILY, name), images)
    assert torch.equal(images, before)


def test_views_that_are_spared_keep_every_bit(name, images):
    assert torch.equal(augmented(lookup.build(FAMILY, name, p=0.0), images), images)


def test_as_many_are_spared_as_p_says(sure, images):
    operation = lookup.build(FAMILY, sure, p=0.5)
    many = images[:1].repeat(200, *(1,) * (images.ndim - 1))
    changed = (augmented(operation, many, range(200)) != many).flatten(1).any(1)
    assert 70 < changed.sum() < 130


def test_what_is_spared_does_not_change_what_the_others_are(single, images):
    always = augmented(lookup.build(FAMILY, single), images)
    sometimes = augmented(lookup.build(FAMILY, single, p=0.5), images)
    for image, changed, perhaps in zip(images, always, sometimes, strict=True):
        spared = torch.equal(perhaps, image)
        assert spared or torch.allclose(perhaps, changed, rtol=0, atol=1e-6)


def test_a_draw_takes_as_many_numbers_whatever_the_ranges(name):
    left = []
    for p in (0.0, 1.0):
        generator = torch.Generator().manual_seed(0)
        lookup.build(FAMILY, name, p=p).draw(generator, 3)
        left.append(torch.rand((), generator=generator).item())
    assert left[0] == left[1]


@pytest.mark.parametrize("p", [-0.1, 1.1])
def test_what_is_no_probability_is_refused(name, p):
    with pytest.raises(ValueError, match=rf"p must be in \[0, 1\], got {p}"):
        lookup.build(FAMILY, name, p=p)
