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
    features, student = method.embed(views), method.student
    for view, common, salient in (
        (0, features.common_a, features.salient_a),
        (1, features.common_b, features.salient_b),
    ):
        pooled = student.encoder(views.views.images[view])[-1].mean(dim=(2, 3))
        own = student.own_encoder(views.views.images[view])[-1].mean(dim=(2, 3))
        torch.testing.assert_close(common, student.common.projector(student.common.code(pooled)))
        torch.testing.assert_close(salient, student.salient.projector(student.salient.code(own)))
    shared = {id(p) for p in student.encoder.parameters()}
    assert not shared & {id(p) for p in student.own_encoder.parameters()}
    by_hand = SepCLR()(*features[:5], *none())
    torch.testing.assert_close(method(views).total, by_hand.total)


def test_a_shared_trunk_is_one_encoder_under_both_codes():
    method = made(trunk="shared")
    assert method.student.own_encoder is None
    assert "salient_encoder" not in method.exports()  # of one set of weights one copy is kept
    assert not any("own_encoder" in name for name, _ in method.named_parameters())
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


def test_earlier_items_are_kept_as_the_teacher_sees_them_first_in_first_out():
    method = made(queue=10)
    assert method.past_common.isnan().all()
    kept = []
    for seed in range(3):
        features = method.embed(batch(seed))
        assert features.common_a.requires_grad
        assert not features.common_b.requires_grad
        expected = SepCLR()(*features[:5], method.past_common, method.past_salient)
        torch.testing.assert_close(method(batch(seed)).total, expected.total)
        kept.insert(0, features)
        method.after_step(0.0)
    unit = torch.nn.functional.normalize
    common = torch.cat([unit(each.common_b, dim=1) for each in kept])[:10]
    salient = torch.cat([each.salient_b * IS_TARGET[:, None] for each in kept])[:10]
    torch.testing.assert_close(method.past_common, common)
    torch.testing.assert_close(method.past_salient, salient)
    assert {"past_common", "past_salient"} <= method.state_dict().keys()


def test_the_teacher_follows_the_student_slowly():
    method = made(queue=6, momentum=0.9)
    before = [weight.clone() for weight in method.teacher.parameters()]
    torch.testing.assert_close(before, list(method.student.parameters()))
    with torch.no_grad():
        for weight in method.student.parameters():
            weight.add_(1.0)
    method(batch())
    method.after_step(0.0)
    for slow, start in zip(method.teacher.parameters(), before, strict=True):
        torch.testing.assert_close(slow, start + 0.1)
        assert not slow.requires_grad
    assert made().teacher is None


@pytest.mark.parametrize(
    ("options", "low", "high"),
    [({}, 0.0, 0.3), ({"queue": 24}, 0.0, 0.5), ({"queue": 24, "momentum": 0.0}, 0.9, 1.0)],
    ids=["no queue", "queue of a slow copy", "queue of the networks themselves"],
)
def test_codes_keep_apart_from_each_other_unless_all_can_flee_a_queue(options, low, high):
    """From codes of a moment ago all can keep apart by moving together, from slow ones not."""
    method = made(**options)
    moved = [weight for weight in method.parameters() if weight.requires_grad]
    optimizer = torch.optim.Adam(moved, lr=3e-3)
    for step in range(240):
        optimizer.zero_grad()
        method(batch(step % 8)).total.backward()
        optimizer.step()
        method.after_step(0.0)
    images = torch.cat([batch(seed).views.images[0] for seed in range(8)])
    with torch.no_grad():
        common, _ = method.student.project(images)
    unit = torch.nn.functional.normalize(common, dim=1)
    # 1 where all are in one place, 0 where they are all around
    assert low <= unit.mean(dim=0).norm() <= high + 1e-6


def test_rows_that_are_nobodys_change_nothing():
    terms = [made(queue=queue)(batch()).terms for queue in (0, 10)]
    torch.testing.assert_close(*terms)


def test_one_view_and_a_negative_queue_are_refused():
    with pytest.raises(ValueError, match="compares 2 views of each item, got 1"):
        made()(batch(views=1))
    with pytest.raises(ValueError, match="queue must be 0 or more items, got -1"):
        made(queue=-1)
    with pytest.raises(ValueError, match=r"momentum must be in \[0, 1\), got 1"):
        made(queue=6, momentum=1.0)
