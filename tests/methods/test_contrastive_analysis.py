"""Contrastive analysis: two codes, their encoders, and the queue."""

import pytest
import torch
from unmoved import unmoved

from medssl.data.views import GroupedViews, Views
from medssl.methods.contrastive_analysis import ContrastiveAnalysis
from medssl.models.encoders.small_conv import SmallConv
from medssl.objectives.sep_clr import SepCLR

IS_TARGET = torch.arange(6) % 2 == 1


def made(**options):
    torch.manual_seed(0)
    return ContrastiveAnalysis(
        SmallConv(spatial_dims=2, width=4),
        objective=SepCLR(),
        common_dim=5,
        salient_dim=3,
        **options,
    )


def batch(seed=0, views=2):
    images = torch.randn(views, 6, 1, 16, 16, generator=torch.Generator().manual_seed(seed))
    zeros = torch.zeros(6, dtype=torch.long)
    return GroupedViews(
        Views(images, torch.arange(6), zeros, torch.arange(6), *unmoved(images)),
        IS_TARGET,
        torch.zeros(6, 0),
        torch.zeros(0, dtype=torch.bool),
    )


def none():
    return torch.zeros(0, 5), torch.zeros(0, 3)


def test_each_code_has_an_encoder_of_its_own():
    method, views = made(), batch()
    features = method.embed(views)
    for view, common, salient in (
        (0, features.common_a, features.salient_a),
        (1, features.common_b, features.salient_b),
    ):
        pooled = method.encoder(views.views.images[view])[-1].mean(dim=(2, 3))
        own = method.own_encoder(views.views.images[view])[-1].mean(dim=(2, 3))
        torch.testing.assert_close(common, method.common.projector(method.common.code(pooled)))
        torch.testing.assert_close(salient, method.salient.projector(method.salient.code(own)))
    shared = {id(p) for p in method.encoder.parameters()}
    assert not shared & {id(p) for p in method.own_encoder.parameters()}
    by_hand = SepCLR()(*features[:5], *none())
    torch.testing.assert_close(method(views).total, by_hand.total)


def test_a_shared_trunk_is_one_encoder_under_both_codes():
    method = made(trunk="shared")
    assert method.salient_encoder is method.encoder
    assert "salient_encoder" not in method.exports()  # of one set of weights one copy is kept
    assert not any(name.startswith("own_encoder") for name, _ in method.named_parameters())
    features = method.embed(batch())
    (gradient,) = torch.autograd.grad(
        features.salient_a.square().sum(), [next(method.encoder.parameters())]
    )
    assert gradient.any()


def test_what_is_exported_makes_both_codes_again():
    method, views = made(), batch()
    exports = method.exports()
    assert exports.keys() == {"encoder", "salient_encoder", "common_code", "salient_code"}
    pooled = exports["salient_encoder"](views.views.images[0])[-1].mean(dim=(2, 3))
    torch.testing.assert_close(
        exports["salient_code"].project(pooled), method.embed(views).salient_a
    )


def test_earlier_items_are_kept_first_in_first_out_and_without_gradient():
    method = made(queue=10)
    assert method.past_common.isnan().all()
    kept = []
    for seed in range(3):
        features = method.embed(batch(seed))
        expected = SepCLR()(*features[:5], method.past_common, method.past_salient)
        torch.testing.assert_close(method(batch(seed)).total, expected.total)
        kept.insert(0, features)
        method.after_step(0.0)
    unit = torch.nn.functional.normalize
    common = torch.cat([unit(each.common_a, dim=1) for each in kept])[:10]
    salient = torch.cat([each.salient_a * IS_TARGET[:, None] for each in kept])[:10]
    torch.testing.assert_close(method.past_common, common.detach())
    torch.testing.assert_close(method.past_salient, salient.detach())
    assert {"past_common", "past_salient"} <= method.state_dict().keys()


def test_rows_that_are_nobodys_change_nothing():
    torch.testing.assert_close(made(queue=10)(batch()).terms, made()(batch()).terms)


def test_one_view_and_a_negative_queue_are_refused():
    with pytest.raises(ValueError, match="compares 2 views of each item, got 1"):
        made()(batch(views=1))
    with pytest.raises(ValueError, match="queue must be 0 or more items, got -1"):
        made(queue=-1)
