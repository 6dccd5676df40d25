"""What every encoder keeps, found by its file alone."""

import pytest
import torch
from torch import nn

from medssl import lookup
from medssl.models.encoders import Encoder
from medssl.models.encoders.small_conv import SmallConv
from medssl.models.encoders.unet import UNet

FAMILY = "medssl.models.encoders"


DIMS = {name: (2,) if name == "timm" else (2, 3) for name in lookup.names(FAMILY)}


@pytest.fixture(params=[(name, dims) for name in DIMS for dims in DIMS[name]], ids=str)
def encoder(request):
    name, spatial_dims = request.param
    return lookup.build(FAMILY, name, spatial_dims=spatial_dims)


def images(encoder, num=3, side=16):
    generator = torch.Generator().manual_seed(0)
    return torch.randn(num, 1, *(side,) * encoder.spatial_dims, generator=generator)


def test_its_maps_are_what_channels_and_strides_say(encoder):
    assert isinstance(encoder, Encoder)
    maps = encoder(torch.zeros(2, 1, *(32, 16, 24)[: encoder.spatial_dims]))
    expected = [
        (2, channels, *(-(-length // stride) for length in (32, 16, 24)[: encoder.spatial_dims]))
        for channels, stride in zip(encoder.channels, encoder.strides, strict=True)
    ]
    assert isinstance(maps, tuple)
    assert [tuple(feature.shape) for feature in maps] == expected


def test_it_goes_from_fine_to_coarse(encoder):
    assert list(encoder.strides) == sorted(set(encoder.strides))


def test_a_case_is_encoded_alone(encoder):
    batch = images(encoder)
    for together, alone in zip(encoder(batch), encoder(batch[1:2]), strict=True):
        torch.testing.assert_close(together[1:2], alone, rtol=1e-4, atol=1e-4)


def test_it_keeps_no_batch_statistics(encoder):
    assert not [m for m in encoder.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    before = {name: buffer.clone() for name, buffer in encoder.named_buffers()}
    encoder(images(encoder))
    assert all(torch.equal(buffer, before[name]) for name, buffer in encoder.named_buffers())


def test_every_weight_reaches_the_coarsest_map(encoder):
    encoder(images(encoder))[-1].square().sum().backward()
    assert all(parameter.grad is not None for parameter in encoder.parameters())


def test_it_computes_in_mixed_precision(encoder):
    with torch.autocast("cpu", torch.bfloat16):
        maps = encoder(images(encoder))
    for half, full in zip(maps, encoder(images(encoder)), strict=True):
        error = (half.float() - full).square().mean().sqrt() / full.square().mean().sqrt()
        assert error < 0.05


@pytest.mark.parametrize("name", lookup.names(FAMILY))
def test_four_dimensions_are_refused(name):
    with pytest.raises(ValueError, match="spatial_dims must be 2 or 3, got 4"):
        lookup.build(FAMILY, name, spatial_dims=4)


def test_a_small_convnet_halves_its_map_a_block():
    encoder = SmallConv(width=4, num_blocks=5, spatial_dims=2)
    shapes = [tuple(feature.shape) for feature in encoder(torch.zeros(1, 1, 32, 40))]
    assert shapes == [(1, 4, 16, 20), (1, 8, 8, 10), (1, 16, 4, 5), (1, 32, 2, 3), (1, 64, 1, 2)]
    with pytest.raises(ValueError, match="num_blocks must be 1 or more, got 0"):
        SmallConv(num_blocks=0)


@pytest.mark.parametrize("norm", ["instance", "group"])
def test_the_unets_maps_of_any_size_round_up(norm):
    encoder = UNet(channels=(4, 6, 8), spatial_dims=2, norm=norm)
    shapes = [tuple(feature.shape) for feature in encoder(torch.zeros(1, 1, 17, 22))]
    assert shapes == [(1, 4, 17, 22), (1, 6, 9, 11), (1, 8, 5, 6)]


def test_the_unet_refuses_to_normalize_one_voxel_by_itself():
    image = torch.randn(1, 1, 4, 3, generator=torch.Generator().manual_seed(0))
    encoder = UNet(channels=(4, 6, 8), spatial_dims=2, norm="instance")
    with pytest.raises(
        ValueError, match=r"one voxel in its coarsest map, of stride 4, .* \(4, 3\)"
    ):
        encoder(image)
    assert encoder(image.repeat(1, 1, 2, 1))[-1].shape[2:] == (2, 1)
    assert UNet(channels=(4, 6, 8), spatial_dims=2, norm="group")(image)[-1].ne(0).any()


@pytest.mark.parametrize("channels", [(8,), (8, 0)])
def test_the_unet_needs_two_levels(channels):
    with pytest.raises(ValueError, match="at least 2 levels, got"):
        UNet(channels=channels)
