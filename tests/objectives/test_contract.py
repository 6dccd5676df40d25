"""What every pair objective keeps, found by its file alone: a new one is tested unasked.

Those on partitions and regions stand in `test_dense_contract.py`.
"""

import inspect

import pytest
import torch

from medssl import lookup

FAMILY = "medssl.objectives"
PAIR = [
    name
    for name in lookup.names(FAMILY)
    if {"z_a", "z_b"} <= inspect.signature(lookup.find(FAMILY, name).forward).parameters.keys()
]


def test_there_are_pair_objectives():
    assert len(PAIR) >= 2


@pytest.fixture(params=PAIR)
def objective(request):
    return lookup.build(FAMILY, request.param)


def stem(objective):
    return type(objective).__module__.rpartition(".")[2]


def compare(objective, views, group=None, label=None):
    """Hand over what the objective takes; each case is a subject and of a class, unless told."""
    own = torch.arange(views.shape[1])
    group, label = (own if each is None else each for each in (group, label))
    offered = {"z_a": views[0], "z_b": views[1], "group": group, "label": label}
    taken = inspect.signature(objective.forward).parameters
    return objective(**{name: offered[name] for name in taken})


@pytest.fixture
def views():
    generator = torch.Generator().manual_seed(0)
    return torch.randn(2, 12, 6, dtype=torch.float64, generator=generator)


def test_the_total_is_the_sum_of_finite_terms(objective, views):
    loss = compare(objective, views)
    assert loss.total.isfinite()
    torch.testing.assert_close(loss.total, sum(loss.terms.values()))


def test_a_weight_scales_the_term_of_its_name_and_no_other(objective, views):
    before = compare(objective, views).terms
    for name in before.keys() & vars(objective).keys():
        doubled = lookup.build(FAMILY, stem(objective), **{name: 2 * getattr(objective, name)})
        expected = {k: v * (2 if k == name else 1) for k, v in before.items()}
        torch.testing.assert_close(compare(doubled, views).terms, expected)


def test_the_order_of_cases_does_not_matter(objective, views):
    order = torch.randperm(12, generator=torch.Generator().manual_seed(1))
    group, label = torch.arange(12) // 2, torch.arange(12) // 3
    shuffled = compare(objective, views[:, order], group[order], label[order])
    torch.testing.assert_close(shuffled.total, compare(objective, views, group, label).total)


def test_the_order_of_views_does_not_matter(objective, views):
    torch.testing.assert_close(
        compare(objective, views.flip(0)).total, compare(objective, views).total
    )


def test_the_partner_matters(objective, views):
    matched = compare(objective, views[:1].expand(2, -1, -1)).total
    assert matched < compare(objective, views).total


def test_what_takes_subjects_masks_pairs_of_one_and_reads_no_more_into_the_number(objective, views):
    alone = compare(objective, views).total
    renamed = compare(objective, views, 100 - torch.arange(12)).total
    paired = compare(objective, views, torch.arange(12) // 2).total
    torch.testing.assert_close(renamed, alone)
    takes_group = "group" in inspect.signature(objective.forward).parameters
    assert (paired < alone) == takes_group


def test_the_gradient_is_the_derivative(objective, views):
    views.requires_grad_()
    assert torch.autograd.gradcheck(lambda v: compare(objective, v).total, views)


def test_it_computes_in_float32_whatever_surrounds_it(objective, views):
    expected = compare(objective, views.float()).total
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(
            compare(objective, views.float()).total, expected, rtol=0, atol=0
        )
    assert compare(objective, views.bfloat16()).total.dtype == torch.float32


def test_the_inputs_are_left_as_they_were(objective, views):
    before = views.clone()
    compare(objective, views)
    torch.testing.assert_close(views, before, rtol=0, atol=0)


def test_a_batch_of_one_is_refused_by_name(objective):
    with pytest.raises(ValueError, match=rf"{type(objective).__name__} needs a batch .* got 1"):
        compare(objective, torch.zeros(2, 1, 4))
