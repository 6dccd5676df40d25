"""DCL against its paper's Eq. 6 as a loop, and against lightly."""

import math

import numpy as np
import pytest
import torch
from lightly.loss import DCLLoss
from torch.nn import functional as F  # noqa: N812

from medssl.objectives.dcl import DCL
from medssl.objectives.ntxent import NTXent


def paper(z_a, z_b, group, temperature, sigma=None):
    batch = len(z_a)
    z = np.concatenate([z_a, z_b])
    z = z / np.linalg.norm(z, axis=1, keepdims=True)
    raw = [np.exp(z[i] @ z[i + batch] / (sigma or 1)) for i in range(batch)]
    total = 0.0
    for i in range(2 * batch):
        weight = 1 if sigma is None else 2 - raw[i % batch] / np.mean(raw)
        negatives = [k for k in range(2 * batch) if group[k % batch] != group[i % batch]]
        total -= weight * (z[i] @ z[(i + batch) % (2 * batch)]) / temperature
        total += np.log(sum(np.exp(z[i] @ z[k] / temperature) for k in negatives))
    return total / (2 * batch)


@pytest.mark.parametrize("sigma", [None, 0.5, 3.0])
@pytest.mark.parametrize("group", [[0, 1, 2, 3, 4], [7, 3, 7, 1, 3]], ids=str)
def test_it_is_the_papers_but_for_pairs_of_one_subject(sigma, group):
    z = np.random.default_rng(0).normal(size=(2, 5, 3))
    loss = DCL(temperature=0.2, sigma=sigma)(*torch.from_numpy(z), torch.tensor(group))
    assert loss.total.item() == pytest.approx(paper(*z, group, 0.2, sigma))


def test_without_weights_it_is_lightlys():
    z_a, z_b = torch.randn(2, 7, 4, generator=torch.Generator().manual_seed(0))
    theirs = DCLLoss(temperature=0.3)(z_a, z_b)
    torch.testing.assert_close(DCL(temperature=0.3)(z_a, z_b, torch.arange(7)).total, theirs)


def test_identity_matrices_give_the_value_by_hand_whose_softplus_is_nt_xent():
    eye, group = torch.eye(2, dtype=torch.float64), torch.arange(2)
    dcl = DCL(temperature=1.0)(eye, eye, group).total
    assert dcl.item() == pytest.approx(math.log(2) - 1)
    assert dcl.item() == pytest.approx(-0.306853, abs=1e-6)
    nt_xent = NTXent(temperature=1.0)(eye, eye, group).total
    torch.testing.assert_close(F.softplus(dcl), nt_xent)


def test_weights_have_mean_1_and_are_1_where_positives_are_equal():
    weights = DCL(sigma=0.5).weights(torch.tensor([0.9, -0.2, 0.4]))
    assert weights.mean().item() == pytest.approx(1)
    assert weights.argmax() == 1
    torch.testing.assert_close(DCL(sigma=0.5).weights(torch.full((3,), 0.7)), torch.ones(3))


def test_no_gradient_flows_through_the_weights():
    z = torch.randn(2, 5, 3, generator=torch.Generator().manual_seed(0)).double()
    z.requires_grad_()
    unit = F.normalize(z, dim=2)
    positive = (unit[0] * unit[1]).sum(dim=1)
    weights = DCL(sigma=0.5).weights(positive).detach()
    plain = DCL()(*z, torch.arange(5)).total
    by_hand = plain + ((1 - weights) * positive / 0.1).mean()
    weighted = DCL(sigma=0.5)(*z, torch.arange(5)).total
    torch.testing.assert_close(weighted, by_hand)
    torch.testing.assert_close(*(torch.autograd.grad(loss, z)[0] for loss in (weighted, by_hand)))


@pytest.mark.parametrize("wrong", [{"temperature": 0.0}, {"sigma": -1.0}])
def test_widths_must_be_positive(wrong):
    with pytest.raises(ValueError, match="temperature and sigma must be positive, got"):
        DCL(**wrong)
