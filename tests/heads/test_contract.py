"""What every head of dense networks keeps, found by its file alone."""

import pytest
import torch

from medssl import lookup
from medssl.errors import ConfigError
from medssl.heads import DenseHead

FAMILY = "medssl.heads"


def fits(name):
    try:
        lookup.check_fit(DenseHead, name)
    except ConfigError:
        return False
    return True


DENSE = [name for name in lookup.names(FAMILY) if fits(name)]


@pytest.fixture(params=[(name, dims) for name in DENSE for dims in (2, 3)], ids=str)
def head(request):
    torch.manual_seed(0)
    name, spatial_dims = request.param
    return lookup.build(FAMILY, name, 4, 3, spatial_dims)


def features(head, spatial=(6, 5, 7)):
    dims = next(head.parameters()).ndim - 2
    return torch.randn(2, 4, *spatial[:dims], generator=torch.Generator().manual_seed(0))


def test_there_are_heads_of_maps_and_others():
    assert set(DENSE) >= {"segmentation", "convolutional"}
    assert "gated_attention_mil" not in DENSE


def test_its_logits_are_as_large_as_the_map(head):
    assert isinstance(head, DenseHead)
    maps = features(head)
    assert head(maps).shape == (2, 3, *maps.shape[2:])


def test_a_case_is_read_alone(head):
    maps = features(head)
    torch.testing.assert_close(head(maps)[1:], head(maps[1:]), rtol=1e-4, atol=1e-5)


def test_every_weight_and_feature_matters(head):
    maps = features(head).requires_grad_()
    head(maps).square().sum().backward()
    assert maps.grad.ne(0).all()
    assert all(parameter.grad.ne(0).any() for parameter in head.parameters())


@pytest.mark.parametrize("name", DENSE)
def test_four_dimensions_are_refused(name):
    with pytest.raises(ValueError, match="spatial_dims must be 2 or 3, got 4"):
        lookup.build(FAMILY, name, 4, 3, 4)
