"""Second-order matching against the specification's hand values and the paper's Eq. 6."""

import time
from itertools import permutations

import pytest
import torch
from torch.nn import functional

from medssl.assignment import quadratic
from medssl.assignment.quadratic import indicator, match_toward_identity, score
from medssl.objectives.second_order_matching import SecondOrderMatching, sum_of_gamma

EDGES = torch.tensor([[[0, 1], [1, 2]]])
VERTEX = torch.tensor([[[0.9, 0, 0], [0, 0, 0.9], [0, 0.9, 0]]])
STRENGTH = 80.0


def ring(graphs, nodes):
    """Each node's edges to the next two."""
    i = torch.arange(nodes)
    edges = torch.cat([torch.stack([i, (i + step) % nodes], dim=1) for step in (1, 2)])
    return edges.expand(graphs, -1, -1)


def batch(graphs=3, nodes=8, noise=1.0, seed=0):
    generator = torch.Generator().manual_seed(seed)
    z = torch.randn(graphs, nodes, 16, dtype=torch.float64, generator=generator)
    pair = [z + noise * torch.randn(z.shape, dtype=z.dtype, generator=generator) for _ in range(2)]
    edges = ring(graphs, nodes)
    return pair, (edges, edges, *flat(graphs, nodes, torch.float64))


def flat(graphs, nodes, dtype=torch.float32):
    """Maps of one place that say nothing."""
    maps, places = torch.zeros(graphs, nodes, 1, 2, dtype=dtype), torch.zeros(graphs, nodes, 1, 2)
    return maps, maps, places.to(dtype), places.to(dtype)


def gradients(vertex, edge, found, target):
    vertex, edge = vertex.clone().requires_grad_(), edge.clone().requires_grad_()
    objective = SecondOrderMatching(strength=STRENGTH)
    objective.surrogate(vertex, edge, EDGES, EDGES, found, target).sum().backward()
    return vertex.grad, edge.grad


def test_the_gradient_of_the_specifications_three_nodes():
    found, target = torch.tensor([[0, 2, 1]]), torch.arange(3)[None]
    of_vertex, of_edge = gradients(VERTEX, torch.eye(2)[None], found, target)
    expected = torch.zeros(1, 3, 3)
    expected[0, 1, 2] = expected[0, 2, 1] = 1 / 80
    expected[0, 1, 1] = expected[0, 2, 2] = -1 / 80
    torch.testing.assert_close(of_vertex, expected)
    torch.testing.assert_close(of_edge, -torch.eye(2)[None] / 80)


def test_two_nodes_that_change_places_cost_four_and_pull_by_an_eightieth():
    vertex = torch.tensor([[[0.0, 1], [1, 0]]])
    none = torch.zeros(1, 0, 2, dtype=torch.long)
    found, target, _ = match_toward_identity(
        vertex, torch.zeros(1, 0, 0), none, none, strength=STRENGTH, seed=0
    )
    assert (found.tolist(), target.tolist()) == ([[1, 0]], [[0, 1]])
    leaf = vertex.clone().requires_grad_()
    objective = SecondOrderMatching(strength=STRENGTH)
    objective.surrogate(leaf, torch.zeros(1, 0, 0), none, none, found, target).sum().backward()
    torch.testing.assert_close(leaf.grad, torch.tensor([[[-1.0, 1], [1, -1]]]) / 80)
    assert 2 * (found != target).sum() == 4


def test_the_surrogates_gradient_is_the_papers_difference_over_lambda():
    torch.manual_seed(0)
    vertex, edge = torch.randn(1, 3, 3), torch.randn(1, 2, 2)
    for p in permutations(range(3)):
        found, target = torch.tensor([p]), torch.arange(3)[None]
        of_vertex, of_edge = gradients(vertex, edge, found, target)
        hot = [functional.one_hot(one, 3).float() for one in (found, target)]
        torch.testing.assert_close(of_vertex, (hot[0] - hot[1]) / STRENGTH)
        mapped = [indicator(EDGES, EDGES, one).float() for one in (found, target)]
        torch.testing.assert_close(of_edge, (mapped[0] - mapped[1]) / STRENGTH)


def test_a_step_against_the_gradient_raises_the_identity_above_what_was_found():
    torch.manual_seed(0)
    vertex, edge = torch.randn(1, 3, 3), torch.randn(1, 2, 2)
    identity = torch.arange(3)[None]
    found = torch.tensor([[1, 2, 0]])
    of_vertex, of_edge = gradients(vertex, edge, found, identity)
    moved = vertex - 8 * of_vertex, edge - 8 * of_edge

    def ahead(problem):
        return score(*problem, EDGES, EDGES, identity) - score(*problem, EDGES, EDGES, found)

    assert ahead(moved) > ahead((vertex, edge))
    right = gradients(vertex, edge, identity, identity)
    assert not right[0].any()
    assert not right[1].any()


def test_the_second_search_is_left_out_only_where_its_result_is_known():
    generator = torch.Generator().manual_seed(0)
    vertex = torch.randn(60, 5, 5, dtype=torch.float64, generator=generator)
    edges = ring(60, 5)
    edge = torch.randn(60, 10, 10, dtype=torch.float64, generator=generator)
    for strength in (0.05, 0.4, 1.0, 80.0):
        found, target, _ = match_toward_identity(
            vertex, edge, edges, edges, strength=strength, seed=0, kicks=400
        )
        costly = vertex + 2 * strength * torch.eye(5, dtype=torch.float64)
        every = torch.stack(
            [
                score(costly, edge, edges, edges, torch.tensor([p]).expand(60, -1))
                for p in permutations(range(5))
            ]
        ).amax(dim=0)
        reached = score(costly, edge, edges, edges, target)
        assert (reached > every - 1e-9).all()
        identity = torch.arange(5).expand_as(found)
        assert (
            score(vertex, edge, edges, edges, found) >= score(vertex, edge, edges, edges, identity)
        ).all()
        assert ((target == identity).all(dim=1).float().mean() == 1) == (strength == 80.0)


def test_where_the_search_finds_less_than_the_identity_that_is_taken_and_counted(monkeypatch):
    def poor(vertex, edge, first, second, *, seed, kicks):
        found = torch.arange(8).expand(len(vertex), -1).clone()
        found[1:, :2] = found[1:, :2].flip(1)  # of all graphs but one
        return found

    monkeypatch.setattr(quadratic, "solve", poor)
    (one, other), more = batch(noise=0.0)
    loss = SecondOrderMatching(scale=0.0)(one, other, *more)
    assert loss.notes["missed_share"].item() == pytest.approx(2 / 3)
    assert loss.notes["hamming"] == 0
    assert loss.total == 0


@pytest.mark.parametrize("second_order", [True, False])
def test_what_is_not_finite_ends_in_a_loss_that_is_not(second_order):
    (one, other), more = batch()
    one[1, 2, 3] = torch.nan
    loss = SecondOrderMatching(second_order=second_order)(one, other, *more)
    assert loss.total.isnan()


def test_what_is_written_down_are_errors_of_nodes():
    (one, other), more = batch(noise=0.0)
    torch.manual_seed(0)
    began_s = time.perf_counter()
    loss = SecondOrderMatching(scale=0.0)(one, other, *more)
    notes = {name: value.item() for name, value in loss.notes.items()}
    assert 0 < notes.pop("solver_s") < time.perf_counter() - began_s
    assert notes == {
        "hamming": 0.0, "node_accuracy": 1.0, "identity_share": 1.0, "missed_share": 0.0,
        "gap_vs_identity": 0.0,
    }  # fmt: skip
    assert loss.total == 0
    swapped = other[:, [1, 0, *range(2, 8)]]
    loss = SecondOrderMatching(scale=0.0, second_order=False)(one, swapped, *more)
    assert loss.notes["hamming"] == 4
    assert loss.notes["node_accuracy"] == 0.75
    assert loss.notes["gap_vs_identity"] > 0
    assert loss.total > 0


def test_what_items_are_called_changes_neither_the_loss_nor_the_gradient_of_any_item():
    (one, other), more = batch(nodes=6, noise=2.0)
    names = torch.randperm(6, generator=torch.Generator().manual_seed(1))
    back = names.argsort()
    renamed = [names[edges] for edges in more[:2]]
    found = []
    for pair, edges in (((one, other), more[:2]), ((one[:, back], other[:, back]), renamed)):
        leaves = [each.clone().requires_grad_() for each in pair]
        loss = SecondOrderMatching(scale=0.0)(*leaves, *edges, *more[2:])
        found.append((loss, torch.autograd.grad(loss.total, leaves)))
    (before, moved), (after, moved_after) = found
    assert before.notes["hamming"] > 0
    torch.testing.assert_close(after.total, before.total)
    torch.testing.assert_close(after.notes["hamming"], before.notes["hamming"])
    for gradient, renamed_gradient in zip(moved, moved_after, strict=True):
        torch.testing.assert_close(renamed_gradient[:, names], gradient)


def test_features_that_are_all_alike_are_all_but_wholly_wrong():
    """A solver that breaks ties by the nodes' order would return the identity, a loss of 0."""
    torch.manual_seed(0)
    nodes = torch.ones(200, 16, 4)
    edges = ring(200, 16)
    loss = SecondOrderMatching(scale=0.0)(nodes, nodes, edges, edges, *flat(200, 16))
    assert loss.notes["hamming"].item() == pytest.approx(2 * 15, abs=1.0)


def test_the_gradient_scales_with_the_loss_and_not_with_the_number_of_graphs():
    (one, other), more = batch(noise=2.0)

    def gradient(factor, times):
        torch.manual_seed(0)
        a = one.repeat(times, 1, 1).requires_grad_()
        repeated = [part.repeat(times, *(1,) * (part.ndim - 1)) for part in more]
        objective = SecondOrderMatching(scale=0.0)
        (factor * objective(a, other.repeat(times, 1, 1), *repeated).total).backward()
        return a.grad.unflatten(0, (times, len(one))).sum(dim=0)

    plain = gradient(1, 1)
    assert plain.any()
    torch.testing.assert_close(gradient(1024, 1), 1024 * plain)
    torch.testing.assert_close(gradient(1, 8), plain, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("noise", ["gumbel", "sum_of_gamma", "margin"])
def test_it_is_what_the_generator_says(noise):
    (one, other), more = batch()
    objective = SecondOrderMatching(noise=noise, scale=0.3)
    found = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        found.append(objective(one, other, *more).total)
    assert found[0] == found[1]
    assert found[0] != found[2] or noise == "margin"


def test_noise_is_gumbels():
    torch.manual_seed(0)
    drawn = SecondOrderMatching(scale=1.0).drawn(torch.zeros(200_000), chosen=1)
    assert drawn.mean().item() == pytest.approx(0.5772, abs=0.01)
    assert drawn.std().item() == pytest.approx(1.2825, abs=0.02)
    sums = sum_of_gamma(torch.zeros(16, 50_000), chosen=16).sum(dim=0)
    assert sums.mean().item() == pytest.approx(0.5772, abs=0.06)
    assert sums.std().item() == pytest.approx(1.2825, abs=0.06)


def test_the_mean_gradient_is_that_of_enumerated_perturbations():
    """With noise the expected gradient is (P(found) - identity) / lambda, node by node."""
    torch.manual_seed(0)
    objective = SecondOrderMatching(scale=0.5, second_order=False, alpha=1.0)
    # cosines of unit vectors in a plane, so that affinities are what they are set to
    angles = torch.tensor([0.2, 0.9, 1.4]), torch.tensor([0.4, 0.7, 1.5])
    nodes = [torch.stack([angle.cos(), angle.sin()], dim=1) for angle in angles]
    local = nodes[0] @ nodes[1].T
    draws = 2000
    edges = EDGES.expand(draws, -1, -1)
    found = []
    objective.surrogate = lambda v, e, a, b, f, t: (found.append(f), v.sum(dim=(1, 2)))[1]
    objective(*(one.expand(draws, -1, -1) for one in nodes), edges, edges, *flat(draws, 3))
    mean = functional.one_hot(found[0], 3).float().mean(dim=0) - torch.eye(3)
    noise = objective.drawn(torch.zeros(400_000, 3, 3), chosen=3)
    every = torch.tensor(list(permutations(range(3))))
    rows = torch.arange(3)
    scores = torch.stack([(local + noise)[:, rows, p].sum(dim=1) for p in every], dim=1)
    likely = functional.one_hot(every[scores.argmax(dim=1)], 3).float().mean(dim=0)
    error = (likely * (1 - likely) / draws).sqrt().clamp(min=1e-3)
    assert ((mean - (likely - torch.eye(3))).abs() < 3.5 * error).all()


def test_without_edges_no_edge_matters():
    (one, other), (edges, _, *rest) = batch(noise=1.5)
    objective = SecondOrderMatching(scale=0.0, second_order=False)
    found = []
    for mixed in (edges, edges.flip(2)):
        torch.manual_seed(0)
        found.append(objective(one, other, mixed, mixed, *rest).total)
    assert found[0] == found[1]


def test_it_computes_in_float32_whatever_surrounds_it():
    (one, other), (edges, _, *rest) = batch()
    found = []
    for surrounding in (True, False):
        torch.manual_seed(0)
        with torch.autocast("cpu", torch.bfloat16, enabled=surrounding):
            loss = SecondOrderMatching()(
                one.bfloat16(), other.bfloat16(), edges, edges, *(part.float() for part in rest)
            )
        assert loss.total.dtype == torch.float32
        found.append(loss.total)
    assert found[0] == found[1]


@pytest.mark.parametrize(
    "options",
    [{"alpha": 1.1}, {"strength": 0}, {"scale": -1.0}, {"kicks": -1}, {"matches": 0}],
    ids=lambda o: next(iter(o)),
)
def test_what_is_out_of_range_is_refused(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        SecondOrderMatching(**options)
