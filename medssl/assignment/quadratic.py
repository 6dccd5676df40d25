"""Quadratic assignment: nodes and edges of pairs of graphs matched together, pair by pair.

Source: Koopmans, Beckmann, "Assignment Problems and the Location of Economic Activities",
Econometrica 25, 1957, in Lawler's form (Management Science 9, 1963): edges have affinities of their
own. How it is solved stands in `_loops`.
"""

from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from medssl.assignment import _loops
from medssl.assignment.linear import solve_linear
from medssl.errors import DataError

MOST_EXACT = 8  # nodes, whose 40,320 permutations are looked at one by one
FEWEST_WRONG = 2  # nodes: none is wrong alone


class Matched(NamedTuple):
    """What was found of each pair of graphs.

    Args:
        found: The best permutations.
        target: Those that are best once wrong nodes have a price.
        missed: Of which graphs the search found less than the identity, which then is `found`.
    """

    found: Int[Tensor, "graph node"]
    target: Int[Tensor, "graph node"]
    missed: Bool[Tensor, "graph"]


def score(
    vertex: Float[Tensor, "graph node node"],
    edge: Float[Tensor, "graph first second"],
    first: Int[Tensor, "graph first 2"],
    second: Int[Tensor, "graph second 2"],
    permutation: Int[Tensor, "graph node"],
) -> Float[Tensor, "graph"]:
    """Return the affinity of each permutation: of its nodes, and of edges that it maps to edges."""
    nodes = vertex.gather(2, permutation[..., None]).sum(dim=(1, 2))
    mapped = indicator(first, second, permutation)
    return nodes + (edge * mapped).sum(dim=(1, 2))


def indicator(
    first: Int[Tensor, "graph first 2"],
    second: Int[Tensor, "graph second 2"],
    permutation: Int[Tensor, "graph node"],
) -> Bool[Tensor, "graph first second"]:
    """Return which edge of the first graph is mapped to which of the second."""
    ends = permutation.gather(1, first.flatten(1)).view_as(first)
    return (ends[:, :, None] == second[:, None]).all(dim=3)


def solve(
    vertex: Float[Tensor, "graph node node"],
    edge: Float[Tensor, "graph first second"],
    first: Int[Tensor, "graph first 2"],
    second: Int[Tensor, "graph second 2"],
    *,
    seed: int,
    kicks: int = 40,
) -> Int[Tensor, "graph node"]:
    """Return a permutation of a large score for each pair of graphs; on the CPU, without gradient.

    Where there are no edges, it is the one of the largest, found where the affinities lie.

    Args:
        vertex: Affinities of nodes.
        edge: Affinities of edges.
        first: Centers and neighbors of the first graph's edges, each once.
        second: Those of the second one's.
        seed: Of the kicks, and of the order in which equally good nodes are taken: no permutation,
            the identity least of all, is found because of where it stands.
        kicks: How often a search starts anew from its best, where two starts do not agree.

    Raises:
        ValueError: If an affinity is not finite, or `kicks` is negative.
    """
    if kicks < 0:
        msg = f"kicks must be 0 or more, got {kicks}"
        raise ValueError(msg)
    if edge.numel() == 0:
        return solve_linear(vertex, seed=seed)
    found: Tensor = _solve(vertex.detach(), edge.detach(), first, second, seed, kicks)
    return found


def solve_exactly(
    vertex: Float[Tensor, "graph node node"],
    edge: Float[Tensor, "graph first second"],
    first: Int[Tensor, "graph first 2"],
    second: Int[Tensor, "graph second 2"],
) -> Int[Tensor, "graph node"]:
    """Return the permutation of the largest score, after looking at all of them.

    Raises:
        DataError: If they are too many.
        ValueError: If an affinity is not finite.
    """
    if vertex.shape[1] > MOST_EXACT:
        msg = (
            f"expected at most {MOST_EXACT} nodes, all of whose permutations can be looked at, got "
            f"{vertex.shape[1]}; use `solve`"
        )
        raise DataError(msg)
    found: Tensor = _solve(vertex.detach(), edge.detach(), first, second, 0, -1)
    return found


def match_toward_identity(
    vertex: Float[Tensor, "graph node node"],
    edge: Float[Tensor, "graph first second"],
    first: Int[Tensor, "graph first 2"],
    second: Int[Tensor, "graph second 2"],
    *,
    strength: float,
    seed: int | Int[Tensor, ""],
    kicks: int = 40,
) -> Matched:
    """Return the best permutations, and those that are best once wrong nodes cost `strength`.

    The identity is found where the search knows none that is better. It is the second permutation,
    too, without a search, wherever the least that a permutation can cost, two wrong nodes or
    4 `strength`, is more than what the first one is better by: then no other can be worth its cost.

    Raises:
        ValueError: If an affinity is not finite, or `kicks` is negative.
    """
    affinities = vertex.detach(), edge.detach()
    found: Tensor = _solve_twice(*affinities, first, second, strength, torch.as_tensor(seed), kicks)
    best, target, searched = found
    return Matched(best, target, (best != searched).any(dim=1))


@torch.library.custom_op("medssl::quadratic_assignment", mutates_args=())
def _solve(  # an operator's arguments have places
    vertex: Tensor, edge: Tensor, first: Tensor, second: Tensor, seed: int, kicks: int
) -> Tensor:
    affinities = [_numbers(one.double()) for one in (vertex, edge)]
    if not all(np.isfinite(one).all() for one in affinities):
        msg = "affinities must be finite to be matched, got NaN or infinity"
        raise ValueError(msg)
    edges = [_numbers(one) for one in (first, second)]
    graphs, nodes = vertex.shape[:2]
    rng = np.random.default_rng(seed)
    orders = rng.permuted(np.tile(np.arange(nodes), (graphs, 1)), axis=1)
    seeds = rng.integers(1, 2**63, size=graphs, dtype=np.uint64)
    found = np.empty((graphs, nodes), np.int64)

    def part(rows: slice) -> None:
        _loops.match(
            affinities[0][rows],
            affinities[1][rows],
            edges[0][rows],
            edges[1][rows],
            orders[rows],
            kicks,
            seeds[rows],
            found[rows],
        )

    workers = max(1, min(torch.get_num_threads(), graphs))
    bounds = np.linspace(0, graphs, workers + 1).astype(int).tolist()
    with ThreadPoolExecutor(workers) as pool:
        list(pool.map(part, map(slice, bounds[:-1], bounds[1:])))
    return torch.from_numpy(found).to(vertex.device)


def _numbers(tensor: Tensor) -> np.ndarray:
    return np.ascontiguousarray(tensor.cpu().numpy())


@_solve.register_fake
def _shape_of_solution(  # the operator's
    vertex: Tensor, edge: Tensor, first: Tensor, second: Tensor, seed: int, kicks: int
) -> Tensor:
    return vertex.new_empty(vertex.shape[:2], dtype=torch.int64)


@torch.library.custom_op("medssl::quadratic_assignment_twice", mutates_args=())
def _solve_twice(  # an operator's arguments have places
    vertex: Tensor,
    edge: Tensor,
    first: Tensor,
    second: Tensor,
    strength: float,
    seed: Tensor,
    kicks: int,
) -> Tensor:
    nodes, edges, graphs = vertex, edge, (first, second)
    if edge.numel():  # the loops run on the CPU
        nodes, edges = vertex.double().cpu(), edge.double().cpu()
        graphs = first.cpu(), second.cpu()
    number = int(seed)
    searched = solve(nodes, edges, *graphs, seed=number, kicks=kicks)
    identity = torch.arange(vertex.shape[1], device=searched.device).expand_as(searched)
    ahead = score(nodes, edges, *graphs, searched) - score(nodes, edges, *graphs, identity)
    found = torch.where((ahead < 0)[:, None], identity, searched)
    target = identity.clone()
    rows = (2 * FEWEST_WRONG * strength <= ahead) & (found != identity).any(dim=1)
    if rows.any():
        costly = nodes[rows] + 2 * strength * torch.eye(vertex.shape[1]).to(nodes)
        some = edges[rows], graphs[0][rows], graphs[1][rows]
        target[rows] = solve(costly, *some, seed=number, kicks=kicks)
    return torch.stack([found, target, searched]).to(vertex.device)


@_solve_twice.register_fake
def _shape_of_both(  # the operator's
    vertex: Tensor,
    edge: Tensor,
    first: Tensor,
    second: Tensor,
    strength: float,
    seed: Tensor,
    kicks: int,
) -> Tensor:
    return vertex.new_empty((3, *vertex.shape[:2]), dtype=torch.int64)
