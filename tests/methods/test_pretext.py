"""Rotation and restoration: what they guess and restore, and that they learn to."""

import pytest
import torch
from unmoved import unmoved

from medssl.data.views import Views
from medssl.methods.restoration import Restoration
from medssl.methods.rotation import Rotation
from medssl.models.decoders.unet import UNetDecoder
from medssl.models.encoders.unet import UNet
from medssl.objectives.cross_entropy import CrossEntropy
from medssl.objectives.squared_error import SquaredError


def views_of(images):
    items = images.shape[1]
    zeros = torch.zeros(items, dtype=torch.long)
    return Views(images, torch.arange(items), zeros, torch.arange(items), *unmoved(images))


def noise(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def descend(method, views, steps, lr=1e-2):
    optimizer = torch.optim.Adam(method.parameters(), lr=lr)
    for _ in range(steps):
        optimizer.zero_grad()
        method(views).total.backward()
        optimizer.step()
    return method(views).total.item()


@pytest.mark.parametrize("dims", [2, 3])
def test_each_turn_is_guessed_of_the_image_turned_so(dims):
    torch.manual_seed(0)
    method = Rotation(UNet(channels=(4, 8), spatial_dims=dims), objective=CrossEntropy())
    images = noise(2, 3, 1, *(8, 8, 5)[:dims])
    logits = method.embed(views_of(images)).logits
    assert logits.shape == (4, 3, 4)
    for turn in range(4):
        turned = torch.rot90(images[-1], turn, dims=(2, 3))
        pooled = method.encoder(turned)[-1].flatten(2).mean(2)
        torch.testing.assert_close(logits[turn], method.classifier(pooled), rtol=1e-4, atol=1e-5)
    by_hand = CrossEntropy()(
        logits.flatten(0, 1), torch.tensor([0] * 3 + [1] * 3 + [2] * 3 + [3] * 3)
    )
    torch.testing.assert_close(method(views_of(images)).total, by_hand.total)


def test_it_learns_which_way_is_up():
    torch.manual_seed(0)
    method = Rotation(UNet(channels=(4, 8), spatial_dims=2), objective=CrossEntropy())
    ramps = torch.linspace(-1, 1, 8)[None, None, None, :, None] + 0.1 * noise(1, 6, 1, 8, 8)
    assert descend(method, views_of(ramps), 60) < 0.2


def test_views_that_are_not_square_are_refused():
    method = Rotation(UNet(channels=(4, 8), spatial_dims=2), objective=CrossEntropy())
    with pytest.raises(ValueError, match=r"sides of one length, got \(8, 6\); cut square crops"):
        method(views_of(noise(1, 2, 1, 8, 6)))


def restoring(dims=2, **options):
    torch.manual_seed(0)
    encoder = UNet(channels=(4, 8), spatial_dims=dims)
    decoder = UNetDecoder(encoder.channels, encoder.strides, dims)
    return Restoration(encoder, decoder, objective=SquaredError(**options))


@pytest.mark.parametrize("dims", [2, 3])
def test_the_first_view_is_to_come_of_the_last(dims):
    method = restoring(dims)
    images = noise(3, 2, 1, *(8,) * dims)
    found = method.embed(views_of(images))
    assert found.restored.shape == images[0].shape
    assert torch.equal(found.original, images[0])
    assert torch.equal(found.changed, images[-1])
    decoded = method.decoder(method.encoder(images[-1]))[-1]
    torch.testing.assert_close(found.restored, method.reading(decoded))
    assert [*method.exports()] == ["encoder", "decoder"]


def test_it_learns_to_fill_what_was_cut_out():
    original = noise(1, 4, 1, 4, 4).repeat_interleave(4, 3).repeat_interleave(4, 4)
    cut = original.clone()
    cut[..., 6:8, :] = 0  # the rest of each block tells what stood there
    method = restoring(changed_only=True)
    pair = views_of(torch.cat([original, cut]))
    before = method(pair).total.item()
    assert descend(method, pair, 80) < 0.2 * before


def test_one_view_can_not_be_restored():
    with pytest.raises(ValueError, match=r"needs 2 views of each item, got 1"):
        restoring()(views_of(noise(1, 2, 1, 8, 8)))
