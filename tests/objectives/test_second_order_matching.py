"""Second-order matching against the specification's hand values and the paper's Eq. 6."""

import time
from functools import partial
from itertools import permutations

import affinity_loops
import numpy as np
import pytest
import torch
from torch.nn import functional

from medssl.assignment import quadratic
from medssl.assignment.linear import solve_linear
from medssl.assignment.quadratic import indicator, match_toward_identity, score, solve_exactly
from medssl.models.message_passing import nearest_neighbors
from medssl.objectives.second_order_matching import SecondOrderMatching, _along

EDGES = torch.tensor([[[0, 1], [1, 2]]])
VERTEX = torch.tensor([[[0.9, 0, 0], [0, 0, 0.9], [0, 0.9, 0]]])
NO_EDGES = EDGES[:, :0]
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


def matched_alone(vertex):
    """What is found by nodes alone, and what should have been."""
    no_edge = torch.zeros(1, 0, 0)
    problem = vertex, no_edge, NO_EDGES, NO_EDGES
    found, target, _ = match_toward_identity(*problem, strength=STRENGTH, seed=0)
    return found, target


def gradients(vertex, edge, found, target):
    vertex, edge = vertex.clone().requires_grad_(), edge.clone().requires_grad_()
    objective = SecondOrderMatching(strength=STRENGTH)
    objective.surrogate(vertex, edge, EDGES, EDGES, found, target).sum().backward()
    return vertex.grad, edge.grad


def test_affinities_are_the_papers_pair_by_pair():
    generator = torch.Generator().manual_seed(0)
    drawn = partial(torch.randn, 2, 2, 5, dtype=torch.float64, generator=generator)
    nodes, maps, places = drawn(6), drawn(4, 3), drawn(4, 2).sigmoid()  # views, graphs, nodes
    edges = [nearest_neighbors(one, 2) for one in nodes]
    objective, seen = SecondOrderMatching(alpha=0.7, matches=2), []
    objective.surrogate = lambda *problem: (seen.append(problem), problem[0].sum(dim=(1, 2)))[1]
    objective(*nodes, *edges, *maps, *places)
    ((vertex, edge, *_),) = seen  # as they are, whatever noise they were matched under
    near = affinity_loops.local(*maps, *places, 2)
    torch.testing.assert_close(vertex, affinity_loops.of_nodes(*nodes, near, 0.7))
    torch.testing.assert_close(edge, affinity_loops.of_edges(*nodes, *edges))


def test_an_edge_leads_from_center_to_neighbor_and_back_is_the_opposite():
    z = torch.randn(2, 5, 3, generator=torch.Generator().manual_seed(0))
    edges = nearest_neighbors(z, 2)
    found = _along(z, edges)
    for graph in range(2):
        for e, (center, neighbor) in enumerate(edges[graph].tolist()):
            assert torch.equal(found[graph, e], z[graph, center] - z[graph, neighbor])
    assert torch.equal(_along(z, edges.flip(2)), -found)


def test_the_gradient_of_the_specifications_three_nodes():
    found, target = matched_alone(VERTEX)
    assert found.tolist() == solve_linear(VERTEX, seed=0).tolist() == [[0, 2, 1]]
    of_vertex, of_edge = gradients(VERTEX, torch.eye(2)[None], found, target)
    expected = torch.zeros(1, 3, 3)
    expected[0, 1, 2] = expected[0, 2, 1] = 1 / 80
    expected[0, 1, 1] = expected[0, 2, 2] = -1 / 80
    torch.testing.assert_close(of_vertex, expected)
    torch.testing.assert_close(of_edge, -torch.eye(2)[None] / 80)


def test_with_their_edges_the_three_nodes_are_matched_rightly_and_nothing_pulls():
    edge = torch.eye(2)[None]
    found, target, _ = match_toward_identity(VERTEX, edge, EDGES, EDGES, strength=STRENGTH, seed=0)
    assert found.tolist() == target.tolist() == [[0, 1, 2]]
    for gradient in gradients(VERTEX, edge, found, target):
        assert not gradient.any()


def test_two_nodes_that_change_places_cost_four_and_pull_by_an_eightieth():
    vertex = torch.tensor([[[0.0, 1], [1, 0]]])
    found, target = matched_alone(vertex)
    assert (found.tolist(), target.tolist()) == ([[1, 0]], [[0, 1]])
    leaf = vertex.clone().requires_grad_()
    objective = SecondOrderMatching(strength=STRENGTH, alpha=1.0, scale=0.0, second_order=False)
    no_edge = torch.zeros(1, 0, 0)
    objective.surrogate(leaf, no_edge, NO_EDGES, NO_EDGES, found, target).sum().backward()
    torch.testing.assert_close(leaf.grad, torch.tensor([[[-1.0, 1], [1, -1]]]) / 80)
    nodes = torch.eye(2)[None]  # whose cosines with each other turned round these affinities are
    loss = objective(nodes, nodes.flip(1), NO_EDGES, NO_EDGES, *flat(1, 2))
    assert loss.notes["hamming"] == 4
    assert loss.total.item() == pytest.approx(2 / 80)


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


def test_the_loss_is_never_negative_and_a_step_down_raises_the_identity_above_what_was_found():
    generator = torch.Generator().manual_seed(0)
    drawn = partial(torch.randn, 200, dtype=torch.float64, generator=generator)
    vertex, edge, edges = drawn(5, 5), drawn(10, 10), ring(200, 5)
    vertex[:20] += 20 * torch.eye(5)
    found = solve_exactly(vertex, edge, edges, edges)
    identity = torch.arange(5).expand_as(found)
    wrong = (found != identity).any(dim=1)
    assert wrong[20:].float().mean() > 0.9
    assert not wrong[:20].any()
    leaves = [one.clone().requires_grad_() for one in (vertex, edge)]
    pull = SecondOrderMatching().surrogate(*leaves, edges, edges, found, identity)
    assert (pull[wrong] > 0).all()
    assert (pull[~wrong] == 0).all()
    pull.sum().backward()
    assert not any(leaf.grad[~wrong].any() for leaf in leaves)

    def ahead(*problem):
        of_identity, of_found = (score(*problem, edges, edges, one) for one in (identity, found))
        return of_identity - of_found

    moved = [leaf.detach() - 8 * leaf.grad for leaf in leaves]
    assert (ahead(*moved) > ahead(vertex, edge))[wrong].all()


@pytest.mark.parametrize(
    ("graphs", "expected"), [([0], 0), ([1], 4), ([2], 2 * 6), ([0, 1, 2], 16 / 3)]
)
def test_the_hamming_distance_is_a_mean_over_graphs(graphs, expected):
    """Of graphs that are found right, with two nodes exchanged, and with all moved on by one."""
    right = torch.arange(6)
    orders = torch.stack([right, right[[1, 0, 2, 3, 4, 5]], right.roll(1)])[graphs]
    nodes = torch.eye(6)
    loss = SecondOrderMatching(alpha=1.0, scale=0.0, second_order=False)(
        nodes.expand(len(graphs), -1, -1), nodes[orders], *[ring(len(graphs), 6)] * 2,
        *flat(len(graphs), 6),
    )  # fmt: skip
    assert loss.notes["hamming"].item() == pytest.approx(expected)


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
        torch.manual_seed(0)
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


@pytest.mark.parametrize("scale", [0.05, 1.0])
def test_noise_is_gumbels_of_the_scale_it_is_told(scale):
    torch.manual_seed(0)
    objective = SecondOrderMatching(scale=scale)
    for perturbed in (objective.perturbed, objective.perturbed_edges):
        drawn = perturbed(torch.zeros(2, 300, 300)) / scale
        assert drawn.mean().item() == pytest.approx(0.5772, abs=0.01)
        assert drawn.std().item() == pytest.approx(1.2825, abs=0.02)


@pytest.mark.parametrize("scale", [0.05, 1.0])
def test_as_many_sums_of_gamma_variables_as_are_chosen_add_up_to_ten_terms_of_gumbels(scale):
    """Which are exponential variables over 1 to 10, less the logarithm of 10."""
    torch.manual_seed(0)
    objective = SecondOrderMatching(noise="sum_of_gamma", scale=scale)
    for perturbed in (objective.perturbed, objective.perturbed_edges):
        sums = perturbed(torch.zeros(1000, 16, 16)).sum(dim=2) / scale
        terms = np.arange(1, 11)
        assert sums.mean().item() == pytest.approx((1 / terms).sum() - np.log(10), abs=0.04)
        assert sums.std().item() == pytest.approx((1 / terms**2).sum() ** 0.5, abs=0.04)


def test_a_margin_sets_back_the_right_pairs_of_nodes_and_no_edge():
    torch.manual_seed(0)
    vertex, edge = torch.randn(2, 5, 5), torch.randn(2, 8, 7)
    objective = SecondOrderMatching(noise="margin")
    assert torch.equal(objective.perturbed(vertex), vertex - torch.eye(5))
    assert torch.equal(objective.perturbed_edges(edge), edge)


def test_the_mean_gradient_is_that_of_enumerated_perturbations():
    """With noise the expected gradient is (P(found) - identity) / lambda, node by node."""
    torch.manual_seed(0)
    draws, scale = 2000, 0.5
    objective, seen = SecondOrderMatching(scale=scale, second_order=False, alpha=1.0), []

    def surrogate(vertex, *problem):
        vertex.retain_grad()
        seen.append(vertex)
        return SecondOrderMatching.surrogate(objective, vertex, *problem)

    objective.surrogate = surrogate
    # cosines of unit vectors in a plane, so that affinities are what they are set to
    angles = torch.tensor([0.2, 0.9, 1.4]), torch.tensor([0.4, 0.7, 1.5])
    nodes = [torch.stack([angle.cos(), angle.sin()], dim=1) for angle in angles]
    leaves = [one.repeat(draws, 1, 1).requires_grad_() for one in nodes]
    objective(*leaves, *[EDGES.expand(draws, -1, -1)] * 2, *flat(draws, 3)).total.backward()
    mean = seen[0].grad.sum(dim=0).numpy()  # the loss is a mean over the draws
    # the same by NumPy's noise and a look at all permutations
    every = np.array(list(permutations(range(3))))
    noise = np.random.default_rng(0).gumbel(scale=scale, size=(400_000, 3, 3))
    noisy = (nodes[0] @ nodes[1].T).numpy() + noise
    best = every[noisy[:, np.arange(3), every].sum(axis=2).argmax(axis=1)]
    likely = (best[:, :, None] == np.arange(3)).mean(axis=0)
    error = np.sqrt(likely * (1 - likely) / draws) / STRENGTH
    assert (np.abs(mean - (likely - np.eye(3)) / STRENGTH) < 3 * error).all()


def test_without_edges_no_edge_matters():
    (one, other), (edges, _, *rest) = batch(noise=1.5)
    objective = SecondOrderMatching(scale=0.0, second_order=False)
    found = []
    for mixed in (edges, edges.flip(2)):
        torch.manual_seed(0)
        found.append(objective(one, other, mixed, mixed, *rest).total)
    assert found[0] == found[1]


@pytest.mark.long
def test_twelve_graphs_of_sixteen_nodes_take_less_than_a_tenth_of_a_second():
    """Affinities, the local one among them, and the solver; the best of five, once compiled."""
    generator = torch.Generator().manual_seed(0)
    drawn = partial(torch.randn, generator=generator)
    z = drawn(12, 16, 128)
    pair = [z + drawn(z.shape) for _ in range(2)]
    edges = [nearest_neighbors(one, 5) for one in pair]
    local = *drawn(2, 12, 16, 16, 64), *drawn(2, 12, 16, 16, 3).sigmoid()
    taken_s = []
    for _ in range(6):
        began_s = time.perf_counter()
        SecondOrderMatching()(*pair, *edges, *local)
        taken_s.append(time.perf_counter() - began_s)
    assert min(taken_s[1:]) < 0.1


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
