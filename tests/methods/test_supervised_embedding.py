"""Supervised embedding: two views of each item, and the group that it is of."""

import pytest
import torch
from lightning.fabric import Fabric
from unmoved import unmoved

from medssl.data.views import GroupedViews, Views
from medssl.methods.supervised_embedding import SupervisedEmbedding
from medssl.models.encoders.small_conv import SmallConv
from medssl.objectives.supervised_contrast import SupervisedContrast
from medssl.objectives.vicreg import VICReg

IS_TARGET = torch.arange(6) % 3 == 1


def made(objective):
    torch.manual_seed(0)
    return SupervisedEmbedding(SmallConv(spatial_dims=2, width=4), objective=objective)


@pytest.fixture
def method():
    return made(SupervisedContrast())


def batch(views=2, is_target=IS_TARGET):
    images = torch.randn(views, 6, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    zeros = torch.zeros(6, dtype=torch.long)
    whole = Views(images, torch.arange(6), zeros, torch.arange(6), *unmoved(images))
    return GroupedViews(whole, is_target, torch.zeros(6, 0), torch.zeros(0, dtype=torch.bool))


def test_it_exports_its_encoder_alone(method):
    assert method.exports() == {"encoder": method.encoder}


def test_it_projects_the_mean_of_the_coarsest_map_of_the_first_two_views(method):
    views = batch(views=3)
    features = method.embed(views)
    for view, z in zip(views.views.images[:2], (features.z_a, features.z_b), strict=True):
        coarsest = method.encoder(view)[-1]
        torch.testing.assert_close(z, method.projector(coarsest.mean(dim=(2, 3))))


def test_an_items_label_is_whether_it_is_a_target(method):
    features = method.embed(batch())
    assert torch.equal(features.label, IS_TARGET)
    by_hand = SupervisedContrast()(features.z_a, features.z_b, IS_TARGET)
    torch.testing.assert_close(method(batch()).total, by_hand.total)
    torch.testing.assert_close(method(batch(is_target=~IS_TARGET)).total, by_hand.total)
    other = method(batch(is_target=IS_TARGET.roll(1)))
    assert not torch.isclose(other.total, by_hand.total)


def test_an_objective_is_handed_only_what_it_takes():
    method = made(VICReg())
    features = method.embed(batch())
    by_hand = VICReg()(features.z_a, features.z_b)
    torch.testing.assert_close(method(batch()).terms, by_hand.terms)


def test_fabrics_wrapper_changes_nothing(method):
    wrapped = Fabric(accelerator="cpu", devices=1).setup_module(method)
    torch.testing.assert_close(wrapped(batch()).total, method(batch()).total)


def test_one_view_is_refused(method):
    with pytest.raises(ValueError, match=r"SupervisedEmbedding compares 2 .* got 1"):
        method(batch(views=1))
