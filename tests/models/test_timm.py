"""timm's networks as encoders, against timm itself."""

import pytest
import timm
import torch

from medssl.errors import ConfigError
from medssl.models.encoders.timm import Timm


def image(*side):
    return torch.randn(2, 1, *side, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    "architecture",
    ["resnet18", "vit_tiny_patch16_224", pytest.param("resnet50", marks=pytest.mark.long)],
)
def test_the_coarsest_map_is_what_timm_pools(architecture):
    encoder = Timm(architecture=architecture).eval()
    whole = timm.create_model(architecture, in_chans=1, num_classes=0).eval()
    state = encoder.network.state_dict()
    own = {key.removeprefix("model."): value for key, value in state.items()}
    left = whole.load_state_dict(own, strict=False)
    assert not left.unexpected_keys
    with torch.no_grad():
        coarsest = encoder(image(224, 224))[-1]
        if architecture.startswith("vit"):
            expected = whole.get_intermediate_layers(image(224, 224), n=1, reshape=True)[0]
        else:
            expected = whole.forward_features(image(224, 224))
    torch.testing.assert_close(coarsest, expected)


def test_the_papers_backbones_have_its_sizes():
    assert Timm(architecture="resnet50").channels == (64, 256, 512, 1024, 2048)
    with torch.device("meta"):
        transformer = Timm(architecture="vit_base_patch16_224")
    assert (transformer.channels, transformer.strides) == ((768,), (16,))


def test_a_transformer_takes_images_of_any_size():
    encoder = Timm(architecture="vit_tiny_patch16_224")
    assert [tuple(feature.shape) for feature in encoder(image(48, 70))] == [(2, 192, 3, 5)]


def test_maps_that_timm_has_with_channels_last_come_with_channels_first():
    encoder = Timm(architecture="swin_tiny_patch4_window7_224")
    shapes = [tuple(feature.shape[1:]) for feature in encoder(image(224, 224))]
    assert shapes == [(96, 56, 56), (192, 28, 28), (384, 14, 14), (768, 7, 7)]


def test_volumes_and_unknown_names_are_refused():
    with pytest.raises(ValueError, match="networks for images, got spatial_dims 3"):
        Timm(spatial_dims=3)
    with pytest.raises(
        ConfigError,
        match=r"no architecture 'resnet51'; expected one such as .'resnet51q', 'resnet50'",
    ):
        Timm(architecture="resnet51")
