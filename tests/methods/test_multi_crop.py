import pytest
import torch
from unmoved import unmoved

from medssl.data.views import MultiViews, Views
from medssl.methods.multi_crop import MultiCrop
from medssl.models.encoders.small_conv import SmallConv
from medssl.objectives.ntxent import NTXent


@pytest.fixture
def method():
    torch.manual_seed(0)
    return MultiCrop(SmallConv(spatial_dims=2), objective=NTXent())


def views_of(num_views, side, subject):
    images = torch.randn(num_views, 5, 1, side, side, generator=torch.Generator().manual_seed(side))
    zeros = torch.zeros(5, dtype=torch.long)
    return Views(images, torch.arange(5), zeros, subject, *unmoved(images))


@pytest.fixture
def views():
    subject = torch.tensor([0, 1, 2, 1, 3])
    return MultiViews(views_of(2, 16, subject), views_of(3, 8, subject))


def test_every_crop_is_compared_with_every_global_one_and_local_ones_never_meet(method, views):
    large = [method.pair.projector(method.encoder(v)[-1].mean((2, 3))) for v in views[0].images]
    small = [method.pair.projector(method.encoder(v)[-1].mean((2, 3))) for v in views[1].images]
    objective, subject = NTXent(), views.global_views.subject
    pairs = [(large[0], large[1])] + [(one, other) for one in large for other in small]
    by_hand = sum(objective(one, other, subject).total for one, other in pairs) / 7
    torch.testing.assert_close(method(views).total, by_hand)


def test_with_two_global_crops_alone_it_is_a_pair(method, views):
    features = method.embed(views)._replace(z_local=torch.zeros(5, 0, 32))
    z_a, z_b = features.z_global.unbind(1)
    by_hand = NTXent()(z_a, z_b, features.group)
    torch.testing.assert_close(method.compare(features).total, by_hand.total)


def test_one_global_crop_is_compared_with_the_local_ones(method, views):
    one = views.global_views._replace(images=views.global_views.images[:1])
    features = method.embed(views._replace(global_views=one))
    z = features.z_global[:, 0]
    each = [NTXent()(z, small, features.group).total for small in features.z_local.unbind(1)]
    torch.testing.assert_close(method.compare(features).total, sum(each) / 3)


def test_it_exports_its_encoder_alone(method):
    assert method.exports() == {"encoder": method.encoder}
