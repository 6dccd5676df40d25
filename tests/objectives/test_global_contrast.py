"""Global contrast against a loop over pairs, and against values by hand."""

import math

import numpy as np
import pytest
import torch
from torch.nn import functional

from medssl.objectives.global_contrast import GlobalContrast

VARIANTS = ["random", "partition", "partition_pairs"]


def layout(num_volumes, num_parts):
    volume = torch.arange(num_volumes).repeat_interleave(num_parts)
    return volume, torch.arange(num_parts).repeat(num_volumes), volume + 50


def embeddings(num_views, num_items, dim=3):
    generator = torch.Generator().manual_seed(0)
    return torch.randn(num_views, num_items, dim, generator=generator, dtype=torch.float64)


def by_loops(z, volume, part, subject, variant, temperature=0.1):
    """Return the terms of all ordered positive pairs, as their definition says."""
    rows = [(v, i) for v in range(z.shape[0]) for i in range(z.shape[1])]
    unit = {(v, i): z[v, i] / np.linalg.norm(z[v, i]) for v, i in rows}

    def similarity(a, b):
        return np.exp(unit[a] @ unit[b] / temperature)

    def is_positive(a, b):
        if a[1] == b[1]:
            return a[0] != b[0]
        partners = {volume[a[1]], volume[b[1]]} in [{2 * g, 2 * g + 1} for g in range(9)]
        alike = a[0] == b[0] and part[a[1]] == part[b[1]]
        return (
            variant == "partition_pairs" and partners and alike and subject[a[1]] != subject[b[1]]
        )

    def is_negative(a, b):
        key = subject if variant == "random" else part
        return key[a[1]] != key[b[1]]

    terms = {}
    for a in rows:
        negatives = sum(similarity(a, n) for n in rows if is_negative(a, n))
        for b in filter(lambda b: is_positive(a, b), rows):
            terms[a, b] = -np.log(similarity(a, b) / (similarity(a, b) + negatives))
    return terms


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("num_views", [2, 3])
@pytest.mark.parametrize("temperature", [0.1, 0.7])
def test_it_is_the_mean_over_pairs(variant, num_views, temperature):
    volume, part, subject = layout(4, 2)
    subject[volume == 3] = subject[volume == 2][0]  # one pair of volumes is of one subject
    z = embeddings(num_views, 8)
    objective = GlobalContrast(variant=variant, temperature=temperature)
    expected = by_loops(
        z.numpy(), *(t.tolist() for t in (volume, part, subject)), variant, temperature
    )
    total = objective(z, volume, part, subject).total.item()
    assert total == pytest.approx(np.mean([*expected.values()]), abs=1e-10)
    within = [term for (a, b), term in expected.items() if a[1] == b[1]]
    views = objective(z, volume, part, subject).terms["views"].item()
    assert views == pytest.approx(sum(within) / len(expected), abs=1e-10)


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_order_of_items_does_not_matter(variant):
    fields, z = layout(4, 3), embeddings(2, 12)
    order = torch.randperm(12, generator=torch.Generator().manual_seed(1))
    objective = GlobalContrast(variant=variant)
    shuffled = objective(z[:, order], *(field[order] for field in fields))
    torch.testing.assert_close(shuffled.total, objective(z, *fields).total)


@pytest.mark.parametrize(
    ("variant", "num_views", "num_volumes", "num_parts", "mean", "code"),
    [
        ("partition", 3, 3, 4, math.log(28), 6.66441),
        ("partition_pairs", 2, 6, 4, math.log(37), 14.44367),
        ("random", 2, 12, 1, math.log(23), math.log(23)),
    ],
)
def test_collapse_leaves_a_uniform_guess(variant, num_views, num_volumes, num_parts, mean, code):
    fields = layout(num_volumes, num_parts)
    z = torch.ones(num_views, num_volumes * num_parts, 2, dtype=torch.float64)
    for normalizer, value in {"mean": mean, "code": code}.items():
        objective = GlobalContrast(variant=variant, normalizer=normalizer)
        assert objective(z, *fields).total.item() == pytest.approx(value, abs=1e-5)


def test_parts_in_clusters_leave_what_the_temperature_leaves():
    fields = layout(3, 4)
    z = torch.eye(4)[fields[1]].expand(3, -1, -1)
    total = GlobalContrast(variant="partition")(z, *fields).total.item()
    assert total == pytest.approx(math.log(1 + 27 * math.exp(-10)), rel=1e-5)
    assert total == pytest.approx(1.225047e-3, abs=1e-9)


def test_items_of_the_same_part_matter_to_an_anchor_only_where_parts_are_unknown():
    volume, part, subject = layout(3, 4)
    elsewhere = (part == part[0]) & (volume != volume[0])
    for variant, matters in {"partition": False, "random": True}.items():
        z = embeddings(3, 12).requires_grad_()
        objective, unit = GlobalContrast(variant=variant), functional.normalize(z, dim=2)
        _, repulsion = objective.similarities(unit, part, subject)
        # item 0 in view 0 as the anchor of its views 1 and 2
        anchored = objective.own_terms(unit, repulsion)[0, :, 0].sum()
        (gradient,) = torch.autograd.grad(anchored, z)
        assert bool(gradient[:, elsewhere].eq(0).all()) != matters
        assert gradient[:, ~elsewhere].ne(0).any(dim=2).all() == (variant == "partition")


def test_volumes_change_places_within_a_part_without_a_trace():
    fields, z = layout(4, 4), embeddings(3, 16)
    swapped = z.clone()
    swapped[:, [2, 10]] = z[:, [10, 2]]
    for variant, same in {"partition": True, "partition_pairs": False}.items():
        objective = GlobalContrast(variant=variant)
        difference = objective(swapped, *fields).total - objective(z, *fields).total
        assert (difference.abs().item() < 1e-12) == same


def test_a_pair_of_volumes_of_one_subject_is_no_pair():
    volume, part, subject = layout(2, 2)
    terms = GlobalContrast()(embeddings(2, 4), volume, part, torch.zeros_like(subject)).terms
    alone = GlobalContrast(variant="partition")(embeddings(2, 4), volume, part, subject).terms
    assert terms["volumes"] == 0
    torch.testing.assert_close(terms["views"], alone["views"])


REFUSED = [
    ("partition_pairs", (3, 2), r"pairs volumes 2g and 2g \+ 1, .* an even number .* got 3"),
    ("partition", (4, 1), r"items of at least 2 parts in a batch, got one alone"),
    ("random", (1, 4), r"items of at least 2 subjects in a batch, got one alone"),
]


@pytest.mark.parametrize(("variant", "sizes", "message"), REFUSED)
def test_what_cannot_be_contrasted_is_refused_by_name(variant, sizes, message):
    fields = layout(*sizes)
    with pytest.raises(ValueError, match=message):
        GlobalContrast(variant=variant)(embeddings(2, len(fields[0])), *fields)


@pytest.mark.parametrize(("variant", "sizes", "message"), REFUSED)
def test_where_reading_would_wait_for_a_device_the_loss_is_nan(
    variant, sizes, message, monkeypatch
):
    monkeypatch.setattr(GlobalContrast, "check", lambda *arguments: None)
    fields = layout(*sizes)
    loss = GlobalContrast(variant=variant)(embeddings(2, len(fields[0])), *fields)
    assert loss.total.isnan(), message


def test_one_view_is_refused():
    with pytest.raises(ValueError, match="at least 2 items in 2 views, got 4 in 1"):
        GlobalContrast()(embeddings(1, 4), *layout(2, 2))
