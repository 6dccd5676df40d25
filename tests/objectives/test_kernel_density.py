"""Kernel density estimates against the specification's values and the formulas as loops."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from medssl.objectives._kernel_density import (
    alignment,
    log_kernel,
    negative_entropy,
    shared_information,
    uniformity,
)

CIRCLE = torch.tensor([[1.0, 0], [0, 1], [-1, 0], [0, -1]], dtype=torch.float64)
FOUR = torch.tensor([[0.0, 0], [0, 0], [1, 0], [0, 2]], dtype=torch.float64)


def kernel(codes, *, tau=0.5):
    return log_kernel(codes, codes, tau=tau)


def column(*values):
    return torch.tensor(values, dtype=torch.float64)[:, None]


def drawn(items, dim=3, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(items, dim, generator=generator, dtype=torch.float64)


def test_alignment_is_the_specifications():
    a, b = torch.tensor([[1.0, 2], [0, 0]]), torch.tensor([[1.0, 0], [3, 4]])
    assert alignment(a, b, tau=0.5) == 14.5
    assert alignment(a, b, tau=0.5, among=torch.tensor([True, False])) == 4
    assert alignment(a, b, tau=0.5, among=torch.tensor([False, False])) == 0


@pytest.mark.parametrize(
    ("codes", "expected"),
    [
        (CIRCLE, -2.3399886130),
        (CIRCLE[:2], -2.0),
        (CIRCLE[::2], -4.0),
        (torch.ones(5, 3, dtype=torch.float64), 0.0),
        (FOUR, -1.2156360524),
    ],
)
def test_uniformity_is_the_specifications(codes, expected):
    assert uniformity(kernel(codes)).item() == pytest.approx(expected, abs=1e-9)


def test_the_joint_entropy_is_the_specifications():
    joint = kernel(CIRCLE) + kernel(FOUR)
    assert negative_entropy(joint).item() == pytest.approx(-1.2951169986, abs=1e-9)
    one = negative_entropy(kernel(CIRCLE[:2]))
    assert one.item() == pytest.approx(-0.5662191695, abs=1e-9)
    assert negative_entropy(kernel(torch.ones(4, 2))).item() == pytest.approx(0.0, abs=1e-6)
    assert negative_entropy(kernel(100 * drawn(5))).item() == pytest.approx(-math.log(5))


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        (column(0, 0, 1, 1), column(0, 2, 0, 2), 0.0),
        (column(0, 0, 1, 1), column(0, 0, 1, 1), 0.1935518166),
        (column(0, 0, 1, 1), column(7, 7, 7, 7), 0.0),
    ],
    ids=["factorial", "the same", "constant"],
)
def test_shared_information_is_the_specifications(one, other, expected):
    found = shared_information(kernel(one), kernel(other))
    assert found.item() == pytest.approx(expected, abs=1e-9)
    if expected == 0 and other[0] != other[1]:
        assert -negative_entropy(kernel(one)).item() == pytest.approx(0.3798854930, abs=1e-9)
        assert -negative_entropy(kernel(other)).item() == pytest.approx(0.6749972526, abs=1e-9)


@given(st.integers(2, 9), st.integers(0, 1000))
@settings(max_examples=40, deadline=None)
def test_all_are_the_definitions_as_loops_and_within_their_bounds(items, seed):
    codes = drawn(items, seed=seed)
    k = [[math.exp(-float((a - b).square().sum())) for b in codes] for a in codes]
    pairs = [k[i][j] for i in range(items) for j in range(i)]
    log_k = kernel(codes)
    expected = math.log(sum(pairs) / len(pairs))
    assert uniformity(log_k).item() == pytest.approx(expected, rel=1e-9)
    expected = sum(math.log(sum(row) / items) for row in k) / items
    assert negative_entropy(log_k).item() == pytest.approx(expected, rel=1e-9)
    assert uniformity(log_k) <= 0
    assert -math.log(items) - 1e-9 <= negative_entropy(log_k) <= 0
    assert shared_information(log_k, kernel(drawn(items, seed=seed + 1))) > -0.05


def test_each_item_twice_leaves_the_entropy_and_counts_itself_in_uniformity():
    codes = drawn(6)
    twice = kernel(torch.cat([codes, codes]))
    torch.testing.assert_close(negative_entropy(twice), negative_entropy(kernel(codes)))
    assert uniformity(twice) > uniformity(kernel(codes))


def test_earlier_codes_count_among_the_others():
    codes, past = drawn(4), drawn(3, seed=1)
    log_k = log_kernel(codes, torch.cat([codes, past]), tau=0.5)
    whole = kernel(torch.cat([codes, past]))[:4]
    torch.testing.assert_close(log_k, whole)
    k = whole.exp()
    expected = (k.sum() - 4) / (4 * 6)
    torch.testing.assert_close(uniformity(log_k), expected.log())
    torch.testing.assert_close(negative_entropy(log_k), (k.sum(dim=1) / 7).log().mean())


def test_far_codes_leave_a_finite_loss_and_gradient():
    codes = (100 * drawn(6).float()).requires_grad_()
    loss = uniformity(kernel(codes)) + negative_entropy(kernel(codes))
    (gradient,) = torch.autograd.grad(loss, codes)
    assert kernel(codes).min() < -1e4
    assert loss.isfinite()
    assert gradient.isfinite().all()


def test_a_single_code_is_refused():
    with pytest.raises(ValueError, match="pairs of codes, got 1"):
        uniformity(kernel(drawn(1)))
