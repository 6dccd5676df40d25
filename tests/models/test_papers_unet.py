"""The 2-D network of Chaitanya et al. 2020 by its published sizes."""

import pytest
import torch
from torch import nn

from medssl.heads.convolutional import ConvolutionalHead
from medssl.models.decoders.upsampled_unet import UpsampledUNet
from medssl.models.encoders.basic_unet import BasicUNet
from medssl.models.network import DenseNetwork
from medssl.models.projectors import GlobalProjector, LocalProjector

CHANNELS = (16, 32, 64, 128, 128, 128)
NORMS = nn.BatchNorm2d


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    encoder = BasicUNet(channels=CHANNELS, spatial_dims=2, norm="batch")
    decoder = UpsampledUNet(encoder.channels, encoder.strides, 2, norm="batch")
    return DenseNetwork(encoder, decoder, ConvolutionalHead(16, 4, 2, norm="batch"))


def convolutions(module):
    return [one for one in module.modules() if isinstance(one, nn.Conv2d)]


@pytest.mark.parametrize(("side", "coarsest"), [(192, 6), (160, 5)])
def test_its_maps_have_the_papers_sizes(network, side, coarsest):
    with torch.no_grad():
        maps = network.encoder(torch.zeros(1, 1, side, side))
        decoded = network.decoder(maps)
        assert network(torch.zeros(1, 1, side, side)).shape == (1, 4, side, side)
    sides = [side // 2**level for level in range(6)]
    assert [tuple(one.shape[1:]) for one in maps] == [
        (channels, of, of) for channels, of in zip(CHANNELS, sides, strict=True)
    ]
    assert sides[-1] == coarsest
    assert [one.shape[1] for one in decoded] == [128, 128, 64, 32, 16]
    assert [one.shape[2] for one in decoded] == sides[-2::-1]


@pytest.mark.parametrize(("side", "flat"), [(6, 4608), (5, 3200)])
def test_its_global_head_sees_every_voxel(side, flat):
    head = GlobalProjector(128, 2, grid=side, hidden_dim=1024, out_dim=128)
    assert tuple(head.layers[0].weight.shape) == (1024, flat)
    assert [one.bias for one in head.layers if isinstance(one, nn.Linear)] == [None, None]
    feature = torch.randn(2, 128, side, side, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(head(feature), head.layers(feature.flatten(1)))


def test_its_local_head_normalizes_over_the_batch_and_joins_windows_of_three():
    head = LocalProjector(64, 2, window_vox=3, out_dim=128, over_batch=True)
    kinds = [type(one) for one in head.layers]
    assert kinds == [nn.Conv2d, nn.BatchNorm2d, nn.ReLU, nn.Conv2d]
    assert [one.bias for one in convolutions(head)] == [None, None]
    assert tuple(head.join.weight.shape) == (128, 9 * 64)


def test_its_convolutions_are_as_many_and_as_wide_as_published(network):
    assert [one.kernel_size for one in convolutions(network.encoder)] == [(3, 3)] * 12
    sides = [[one.kernel_size[0] for one in convolutions(b)] for b in network.decoder.blocks]
    assert sides == [[2, 3, 3]] * 4 + [[2, 3]]
    # what is joined has twice the channels of the map
    assert [convolutions(b)[1].in_channels for b in network.decoder.blocks] == [
        256, 256, 128, 64, 32,
    ]  # fmt: skip
    head = convolutions(network.head)
    assert [(one.in_channels, one.out_channels) for one in head] == [(16, 16), (16, 16), (16, 4)]
    assert head[-1].bias is None
    norms = [one for one in network.modules() if isinstance(one, NORMS)]
    assert len(norms) == 12 + 14 + 2
    assert {(one.momentum, one.eps) for one in norms} == {(0.01, 1e-3)}


def test_its_weights_begin_with_a_variance_of_two_over_their_inputs(network):
    for one in convolutions(network):
        inputs = one.in_channels * one.kernel_size[0] ** 2
        if one.weight.numel() > 5_000:
            assert one.weight.std().item() == pytest.approx((2 / inputs) ** 0.5, rel=0.05)
        assert one.bias is None or not one.bias.any()


def test_a_raised_voxel_sees_itself_and_those_after_it():
    """As with `SAME` padding of an even kernel: a column more after the last."""
    decoder = UpsampledUNet((2, 3), (1, 2), 2)
    raising = decoder.blocks[0].raise_
    conv = convolutions(raising)[0]
    nn.init.ones_(conv.weight)
    nn.init.zeros_(conv.bias)
    before = []
    conv.register_forward_hook(lambda module, given, out: before.append((given[0], out)))
    coarse = torch.zeros(1, 3, 2, 2)
    coarse[0, :, 1, 0] = 1
    decoder([torch.zeros(1, 2, 4, 4), coarse])
    given, out = before[0]
    assert given.shape == (1, 3, 5, 5)
    assert given[0, 0, :, 0].tolist() == [0, 0, 1, 1, 0]
    assert (out[0, 0] / 3).tolist() == [[0, 0, 0, 0], [2, 1, 0, 0], [4, 2, 0, 0], [2, 1, 0, 0]]
