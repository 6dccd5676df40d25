"""Supervised contrast against its paper's Eq. 2 as a loop, and against NT-Xent."""

import math

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from medssl.objectives.ntxent import NTXent
from medssl.objectives.supervised_contrast import SupervisedContrast

LABELS = [[0, 1, 2, 3, 4], [7, 3, 7, 1, 3], [1, 1, 1, 1, 1], [True, False, True, True, False]]


def drawn(items=5, seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(2, items, 3, dtype=dtype, generator=generator)


def compare(z, label, **options):
    return SupervisedContrast(**options)(*z, torch.tensor(label)).total


def paper(z, label, temperature):
    """Anchor by anchor, pair by pair; in the mean over anchors instead of the sum."""
    rows = [row / row.norm() for view in z for row in view]
    of = [*label, *label]
    anchors = range(len(rows))
    total = 0.0
    for i in anchors:
        others = [a for a in anchors if a != i]
        positives = [p for p in others if of[p] == of[i]]
        below = sum(math.exp(rows[i] @ rows[a] / temperature) for a in others)
        inner = [math.log(math.exp(rows[i] @ rows[p] / temperature) / below) for p in positives]
        total -= sum(inner) / len(positives)
    return total / len(rows)


@pytest.mark.parametrize("temperature", [0.1, 1.0, 10.0])
@pytest.mark.parametrize("label", LABELS, ids=str)
def test_it_is_the_papers_but_for_the_mean_over_anchors(temperature, label):
    z = drawn()
    found = compare(z, label, temperature=temperature)
    assert found.item() == pytest.approx(paper(z, label, temperature), rel=1e-9)


def test_identity_matrices_give_the_values_by_hand():
    """Each anchor sees its other view at similarity 1 and both views of the other item at 0.

    Below the fraction stands e + 1 + 1. With two labels the other view is the one positive:
    log(e + 2) - 1. With one label all three are, of mean similarity (1 + 0 + 0) / 3:
    log(e + 2) - 1/3. With the mean inside of the logarithm, L_in, that would be log(3).
    """
    z = torch.eye(2, dtype=torch.float64).expand(2, -1, -1)
    assert compare(z, [0, 1], temperature=1.0).item() == pytest.approx(0.551445, abs=1e-6)
    assert compare(z, [0, 0], temperature=1.0).item() == pytest.approx(1.218111, abs=1e-6)


@pytest.mark.parametrize("temperature", [0.1, 1.0])
def test_where_all_labels_differ_it_is_nt_xent(temperature):
    z = drawn()
    nt_xent = NTXent(temperature=temperature)(*z, torch.arange(5)).total
    torch.testing.assert_close(compare(z, [4, 1, 3, 0, 2], temperature=temperature), nt_xent)


@pytest.mark.parametrize("label", LABELS, ids=str)
def test_order_of_items_and_of_views_do_not_matter(label):
    z = drawn()
    expected = compare(z, label)
    order = torch.randperm(5, generator=torch.Generator().manual_seed(1)).tolist()
    torch.testing.assert_close(compare(z[:, order], [label[row] for row in order]), expected)
    torch.testing.assert_close(compare(z.flip(0), label), expected)


def test_which_view_of_an_item_is_the_first_does_not_matter():
    z = drawn()
    mixed = torch.where(torch.tensor([True, False, True, False, False])[:, None], z, z.flip(0))
    torch.testing.assert_close(compare(mixed, LABELS[1]), compare(z, LABELS[1]))


def test_what_a_label_is_called_does_not_matter():
    z = drawn()
    flags = [True, False, True, True, False]
    for renamed in ([1, 0, 1, 1, 0], [-3, 8, -3, -3, 8], [not flag for flag in flags]):
        torch.testing.assert_close(compare(z, renamed), compare(z, flags))


def test_labels_at_opposite_poles_give_the_least_there_is():
    """Of 8 views 3 are at similarity 1 and 4 at -1: log(3 e + 4 / e) - 1 at temperature 1."""
    pole = torch.tensor([1.0, 0.0, 0.0], dtype=torch.float64)
    label = [0, 0, 1, 1]
    z = torch.stack([pole, pole, -pole, -pole]).expand(2, -1, -1)
    least = math.log(3 + 4 * math.exp(-2))
    assert compare(z, label, temperature=1.0).item() == pytest.approx(least)
    for seed in range(20):
        assert compare(drawn(4, seed), label, temperature=1.0) > least


def test_the_length_of_a_row_does_not_matter_and_a_row_of_zeros_breaks_nothing():
    z = drawn()
    longer = z * torch.tensor([1.0, 2, 3, 5, 7])[:, None]
    torch.testing.assert_close(compare(longer, LABELS[1]), compare(z, LABELS[1]))
    zeros = torch.zeros(2, 5, 3, requires_grad=True)
    compare(zeros, LABELS[1]).backward()
    assert zeros.grad.isfinite().all()


@pytest.mark.parametrize("label", LABELS, ids=str)
def test_the_gradient_is_the_derivative(label):
    z = drawn().requires_grad_()
    assert torch.autograd.gradcheck(lambda z: compare(z, label), z)


def test_a_small_temperature_overflows_nothing():
    z = drawn(dtype=torch.float32)
    exact = compare(z.double(), LABELS[1], temperature=1e-3).float()
    found = compare(z, LABELS[1], temperature=1e-3)
    torch.testing.assert_close(found, exact, rtol=1e-5, atol=0)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_widened(dtype):
    z = drawn(dtype=dtype)
    exact = compare(z.float(), LABELS[1])
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(compare(z, LABELS[1]), exact, rtol=0, atol=0)
        torch.testing.assert_close(compare(z.float(), LABELS[1]), exact, rtol=0, atol=0)


def test_it_reads_nothing_off_the_device():
    with FakeTensorMode(allow_non_fake_inputs=True) as mode:
        z_a, z_b, label = (
            mode.from_tensor(each).to("cuda")
            for each in (*drawn(dtype=torch.float32), torch.tensor(LABELS[3]))
        )
        loss = SupervisedContrast()(z_a, z_b, label)
    assert loss.total.device.type == "cuda"


@pytest.mark.parametrize("temperature", [0.0, -0.5])
def test_a_temperature_must_be_positive(temperature):
    with pytest.raises(ValueError, match=f"temperature must be positive, got {temperature}"):
        SupervisedContrast(temperature=temperature)
