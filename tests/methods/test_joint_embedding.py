import pytest
import torch
from lightning.fabric import Fabric
from unmoved import unmoved

from medssl.data.views import Views
from medssl.methods.joint_embedding import JointEmbedding
from medssl.models.encoders.small_conv import SmallConv
from medssl.objectives import Loss
from medssl.objectives.ntxent import NTXent


@pytest.fixture
def method():
    torch.manual_seed(0)
    return JointEmbedding(SmallConv(spatial_dims=2), objective=NTXent())


@pytest.fixture
def views():
    images = torch.randn(2, 5, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    zeros = torch.zeros(5, dtype=torch.long)
    subject = torch.tensor([0, 1, 2, 1, 3])
    return Views(images, torch.arange(5), zeros, subject, *unmoved(images))


def test_it_exports_its_encoder_alone(method):
    assert method.exports() == {"encoder": method.encoder}


def test_fabrics_wrapper_changes_nothing(method, views):
    wrapped = Fabric(accelerator="cpu", devices=1).setup_module(method)
    loss = wrapped(views)
    assert isinstance(loss, Loss)
    torch.testing.assert_close(loss.total, method.compare(method.embed(views)).total)


def test_it_projects_the_mean_of_the_coarsest_map_of_the_first_two_views(method, views):
    third = views._replace(images=torch.cat([views.images, torch.ones(1, 5, 1, 16, 16)]))
    features = method.embed(third)
    for view, z in zip(views.images, (features.z_a, features.z_b), strict=True):
        coarsest = method.encoder(view)[2]
        torch.testing.assert_close(z, method.projector(coarsest.mean(dim=(2, 3))))


def test_views_of_one_subject_are_its_group(method, views):
    features = method.embed(views)
    assert torch.equal(features.group, views.subject)
    by_hand = NTXent()(features.z_a, features.z_b, views.subject)
    torch.testing.assert_close(method(views).total, by_hand.total)


def test_one_view_is_refused(method, views):
    with pytest.raises(ValueError, match="JointEmbedding compares 2 views of each item, got 1"):
        method(views._replace(images=views.images[:1]))
