"""What every decoder keeps, found by its file alone."""

import pytest
import torch

from medssl import lookup
from medssl.models.decoders import Decoder
from medssl.models.decoders.unet import UNetDecoder
from medssl.models.encoders.small_conv import SmallConv
from medssl.models.encoders.unet import UNet

FAMILY = "medssl.models.decoders"


@pytest.fixture(params=[(name, dims) for name in lookup.names(FAMILY) for dims in (2, 3)], ids=str)
def pair(request):
    """A decoder and the encoder that it was made for."""
    torch.manual_seed(0)
    name, spatial_dims = request.param
    encoder = UNet(channels=(4, 6, 8), spatial_dims=spatial_dims)
    parts = encoder.channels, encoder.strides, encoder.spatial_dims
    return lookup.build(FAMILY, name, *parts), encoder


def images(encoder, *sides):
    generator = torch.Generator().manual_seed(0)
    return torch.randn(3, 1, *(sides or (16, 16, 16))[: encoder.spatial_dims], generator=generator)


@pytest.mark.parametrize("sides", [(16, 24, 8), (17, 22, 11)])
def test_its_maps_are_as_large_as_the_encoders_of_their_strides(pair, sides):
    decoder, encoder = pair
    assert isinstance(decoder, Decoder)
    maps = encoder(images(encoder, *sides))
    decoded = decoder(maps)
    assert isinstance(decoded, tuple)
    assert decoder.strides == encoder.strides[-2::-1]
    for feature, channels, like in zip(decoded, decoder.channels, maps[-2::-1], strict=True):
        assert feature.shape == (3, channels, *like.shape[2:])


def test_the_first_blocks_alone_give_the_first_maps_alone(pair):
    decoder, encoder = pair
    maps = encoder(images(encoder))
    everything = decoder(maps)
    for blocks in range(1, len(everything) + 1):
        for one, other in zip(decoder(maps, blocks=blocks), everything[:blocks], strict=True):
            torch.testing.assert_close(one, other)


def test_a_block_that_does_not_run_gets_no_gradient(pair):
    decoder, encoder = pair
    decoder(encoder(images(encoder)), blocks=1)[-1].square().sum().backward()
    moved = [[p.grad is not None for p in block.parameters()] for block in decoder.blocks]
    assert all(moved[0])
    assert not any(any(block) for block in moved[1:])


def test_each_encoder_map_matters(pair):
    decoder, encoder = pair
    maps = [feature.detach().requires_grad_() for feature in encoder(images(encoder))]
    decoder(maps)[-1].square().sum().backward()
    assert all(feature.grad.ne(0).any() for feature in maps)


def test_a_case_is_decoded_alone(pair):
    decoder, encoder = pair
    batch = images(encoder)
    together, alone = decoder(encoder(batch))[-1], decoder(encoder(batch[1:2]))[-1]
    torch.testing.assert_close(together[1:2], alone, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("blocks", [0, 3])
def test_blocks_that_there_are_not_are_refused(pair, blocks):
    decoder, encoder = pair
    with pytest.raises(ValueError, match=rf"has 2 blocks, was asked for {blocks}"):
        decoder(encoder(images(encoder)), blocks=blocks)


def test_the_unets_fits_an_encoder_that_begins_below_full_resolution():
    encoder = SmallConv(spatial_dims=2, width=4)
    decoder = UNetDecoder(encoder.channels, encoder.strides, encoder.spatial_dims, norm="group")
    decoded = decoder(encoder(torch.zeros(1, 1, 24, 16)))
    assert [tuple(feature.shape) for feature in decoded] == [(1, 8, 6, 4), (1, 4, 12, 8)]


@pytest.mark.parametrize("strides", [(1,), (1, 1), (2, 5)])
def test_strides_it_cannot_undo_are_refused(strides):
    with pytest.raises(ValueError, match=r"2 maps or more, each stride a multiple, got"):
        UNetDecoder((4, 6), strides, 2)


@pytest.mark.parametrize("side", [(16, 16, 16), (16, 16, 8), (8, 24, 40)], ids=str)
def test_gradients_of_small_maps_are_the_same_each_time_in_bfloat16_too(side):
    """On the CPU some convolutions of such maps return memory that nobody wrote to."""
    found = []
    for _ in range(6):
        torch.manual_seed(0)
        encoder = UNet(channels=(8, 16, 32, 64))
        decoder = UNetDecoder(encoder.channels, encoder.strides, 3)
        images = torch.randn(2, 1, *side)
        for length in (1_000, 20_000, 60_000, 300_000):
            torch.full((length,), torch.inf)  # what nobody wrote to is seen to be so
        with torch.autocast("cpu", torch.bfloat16):
            loss = decoder(encoder(images))[-1].float().square().mean()
        loss.backward()
        weights = [*encoder.parameters(), *decoder.parameters()]
        found.append(torch.cat([weight.grad.flatten() for weight in weights]))
    assert found[0].isfinite().all()
    assert all(torch.equal(gradient, found[0]) for gradient in found[1:])
