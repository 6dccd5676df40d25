import math

import pytest
import torch
from torch.nn import functional

from medssl.objectives.class_contrast import ClassContrast

CLASSES = 2


def cosine(a, b):
    return float(a @ b / (a.norm() * b.norm()))


def by_definition(dense, label, temperature, means):
    """Anchor by anchor, pair by pair."""
    losses = []
    for first in range(0, len(dense) - 1, 2):
        pair = (first, first + 1)
        if any((label[i] == c).sum() == 0 for i in pair for c in range(1, CLASSES + 1)):
            continue
        unit = {i: functional.normalize(dense[i].flatten(1), dim=0) for i in pair}
        mean = {
            (i, c): unit[i][:, label[i].flatten() == c].mean(dim=1)
            for i in pair
            for c in range(1, CLASSES + 1)
        }
        for i in pair:
            seen = pair if means == "inter" else (i,)
            for c in range(1, CLASSES + 1):
                terms = []
                for anchor in unit[i][:, label[i].flatten() == c].T:
                    below = sum(
                        math.exp(cosine(anchor, mean[j, k]) / temperature)
                        for j in seen
                        for k in range(1, CLASSES + 1)
                    )
                    terms += [
                        -math.log(math.exp(cosine(anchor, mean[j, c]) / temperature) / below)
                        for j in seen
                    ]
                losses.append(sum(terms) / len(terms))
    return sum(losses) / max(len(losses), 1)


def batch(items=4, spatial=(3, 4)):
    generator = torch.Generator().manual_seed(0)
    dense = torch.randn(items, 5, *spatial, dtype=torch.float64, generator=generator)
    return dense, torch.randint(CLASSES + 1, (items, *spatial), generator=generator)


def members(label):
    return torch.stack([label == c for c in range(1, CLASSES + 1)], dim=1)


@pytest.mark.parametrize("means", ["inter", "intra"])
@pytest.mark.parametrize("spatial", [(3, 4), (3, 2, 3)])
def test_it_is_the_definition_voxel_by_voxel(means, spatial):
    dense, label = batch(5, spatial)  # the last has no partner
    found = ClassContrast(temperature=0.3, means=means)(dense, members(label))
    expected = by_definition(dense, label, 0.3, means)
    assert expected > 0
    assert found.total.item() == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(("means", "count"), [("inter", 4), ("intra", 2)])
def test_embeddings_that_are_all_alike_leave_a_uniform_guess(means, count):
    label = batch()[1]
    found = ClassContrast(means=means)(torch.ones(4, 5, 3, 4), members(label))
    assert found.total.item() == pytest.approx(math.log(count), abs=1e-6)


def test_a_pair_of_which_one_lacks_a_class_does_not_count():
    dense, label = batch()
    label[1][label[1] == 2] = 0
    objective = ClassContrast()
    alone = objective(dense[2:], members(label[2:])).total
    torch.testing.assert_close(objective(dense, members(label)).total, alone)
    pair = dense[:2].clone().requires_grad_()
    none = objective(pair, members(label[:2])).total
    assert none == 0
    assert not torch.autograd.grad(none, pair)[0].any()


def test_the_background_does_not_matter():
    dense, label = batch()
    other = torch.where((label == 0)[:, None], torch.randn_like(dense), dense)
    objective = ClassContrast()
    torch.testing.assert_close(
        objective(other, members(label)).total, objective(dense, members(label)).total
    )


def test_the_gradient_is_the_derivative_and_a_zero_vector_breaks_nothing():
    dense, label = batch(2, (2, 3))
    label[:] = torch.tensor([[0, 1, 2], [1, 2, 2]])
    objective = ClassContrast(temperature=0.5)
    assert torch.autograd.gradcheck(
        lambda d: objective(d, members(label)).total, dense.requires_grad_()
    )
    assert objective(torch.zeros(2, 5, 2, 3), members(label)).total.isfinite()


def test_it_computes_in_float32_whatever_surrounds_it():
    dense, label = batch()
    with torch.autocast("cpu", torch.bfloat16):
        found = ClassContrast()(dense.bfloat16(), members(label)).total
    assert found.dtype == torch.float32
    assert found == ClassContrast()(dense.bfloat16().float(), members(label)).total


def test_a_temperature_of_zero_is_refused():
    with pytest.raises(ValueError, match="temperature must be positive, got 0"):
        ClassContrast(temperature=0)
