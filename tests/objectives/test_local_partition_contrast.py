"""Local contrast across volumes against a loop over regions, and against values by hand."""

import math

import numpy as np
import pytest
import torch

from medssl.objectives._regions import nearby
from medssl.objectives.local_partition_contrast import LocalPartitionContrast


def layout(num_volumes, num_parts):
    volume = torch.arange(num_volumes).repeat_interleave(num_parts)
    return volume, torch.arange(num_parts).repeat(num_volumes), volume + 50


def regions(num_items, num_regions, dim=4):
    generator = torch.Generator().manual_seed(0)
    return torch.randn(2, num_items, num_regions, dim, generator=generator, dtype=torch.float64)


def by_loops(a, b, part, subject, spatial_dims, num_negatives, temperature=0.1):
    """Return the terms of each item, by whether the other map is its own."""
    _, rows = nearby(spatial_dims, centers=True, num_negatives=num_negatives)
    a, b = (z / np.linalg.norm(z, axis=2, keepdims=True) for z in (a, b))
    own, across = [], []
    for i in range(len(a)):
        for j in range(len(a)):
            if i != j and (part[i] != part[j] or subject[i] == subject[j]):
                continue
            other = b[i] if i == j else a[j]
            for anchor, negatives in enumerate(rows):
                hit = np.exp(a[i][anchor] @ other[anchor] / temperature)
                rest = sum(
                    np.exp(a[i][anchor] @ source[n] / temperature)
                    for n in negatives
                    for source in (a[i], other)
                )
                (own if i == j else across).append(-np.log(hit / (hit + rest)))
    return own, across


@pytest.mark.parametrize(
    ("spatial_dims", "num_regions", "num_negatives"), [(2, 16, 4), (2, 13, "all"), (3, 35, 4)]
)
@pytest.mark.parametrize("temperature", [0.1, 0.7])
def test_it_is_the_mean_over_pairs_and_regions(
    spatial_dims, num_regions, num_negatives, temperature
):
    volume, part, subject = layout(4, 2)
    subject[volume == 3] = subject[volume == 2][0]  # two volumes are of one subject
    pair = regions(8, num_regions)
    options = {"temperature": temperature, "num_negatives": num_negatives}
    found = LocalPartitionContrast(**options)(*pair, volume, part, subject)
    own, across = by_loops(
        *pair.numpy(), part.tolist(), subject.tolist(), spatial_dims, num_negatives, temperature
    )
    assert len(across) == (len(own) / 8) * 2 * (4 * 3 - 2)
    total = len(own) + len(across)
    assert found.terms["views"].item() == pytest.approx(sum(own) / total, abs=1e-10)
    assert found.terms["volumes"].item() == pytest.approx(sum(across) / total, abs=1e-10)


@pytest.mark.parametrize(("normalizer", "value"), [("mean", math.log(9)), ("code", 3.295837)])
def test_collapse_leaves_a_uniform_guess(normalizer, value):
    ones = torch.ones(12, 16, 2, dtype=torch.float64)
    total = LocalPartitionContrast(normalizer=normalizer)(ones, ones, *layout(3, 4)).total
    assert total.item() == pytest.approx(value, abs=1e-6)


def test_an_anchor_is_of_the_first_view_alone():
    a, b = regions(8, 16)
    fields, objective = layout(4, 2), LocalPartitionContrast()
    there, back = objective(a, b, *fields).total, objective(b, a, *fields).total
    assert abs(there - back) > 1e-3


def test_items_beside_the_two_compared_never_matter():
    a, b = regions(6, 16)
    a.requires_grad_()
    terms = LocalPartitionContrast().terms(
        torch.nn.functional.normalize(a, dim=2), torch.nn.functional.normalize(b, dim=2)
    )
    (gradient,) = torch.autograd.grad(terms[0, 2].sum(), a)  # with the same part of volume 1
    assert gradient[[0, 2]].ne(0).any(dim=2).all()
    assert gradient[[1, 3, 4, 5]].eq(0).all()


@pytest.mark.parametrize("sizes", [(1, 4), (1, 1)])
def test_volumes_that_are_alone_are_refused(sizes):
    fields = layout(*sizes)
    with pytest.raises(ValueError, match="got a part of one volume alone in a batch; cut"):
        LocalPartitionContrast()(*regions(len(fields[0]), 16), *fields)


def test_what_is_no_lattice_is_refused():
    with pytest.raises(ValueError, match=r"\[16, 35\] regions in 2-D and 3-D, got 17 of a map"):
        LocalPartitionContrast()(*regions(4, 17), *layout(2, 2))
