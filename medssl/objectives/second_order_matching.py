"""Second-order matching: the graph of one view, matched to that of the other, is itself.

Source: Nguyen et al., "LVM-Med: Learning Large-Scale Self-Supervised Vision Models for Medical
Imaging via Second-order Graph Matching", NeurIPS 2023, arXiv:2306.11925, Eqs. 3 to 6, Algorithm 1;
sums of Gamma variables by Niepert, Minervini, Franceschi, NeurIPS 2021, arXiv:2106.01798.
Departs from the paper: quadratic assignments are solved by projections and local search instead of
Lagrange decomposition, and every node is assigned; the gradient is that of a surrogate, the scores
of what was found less those of what should have been, so that it scales with the loss, whatever
scales that; the second solution, which is the identity wherever lambda is large enough, is searched
only where it is not; the noise has a scale, which by default is a twentieth of the paper's.
Where paper and authors' code differ, or say nothing: lambda is that of each graph, and losses are
averaged over graphs after that; edges count whole, as in Eq. 4, where the code has a half; they
have a direction, from center to neighbor, and only those of one direction are compared, so that two
nodes that are each other's neighbors have two; affinities are cosines, not shifted.
"""

import time
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from medssl.assignment.quadratic import match_toward_identity, score
from medssl.objectives import Loss, full_precision
from medssl.objectives._local_affinity import local_affinity

__all__ = ["SecondOrderMatching"]

Noise = Literal["gumbel", "sum_of_gamma", "margin"]
GAMMAS = 10  # terms of the sum that stands for a Gumbel variable


class SecondOrderMatching(nn.Module):
    """Perturb, match, and pull the affinities of what was found to those of the identity.

    Args:
        alpha: Share of the global affinity of nodes, the local one has the rest; 1 leaves it out.
        strength: The paper's lambda, for each graph, on the gradient as it is.
        noise: What affinities are perturbed by: `gumbel` variables; the `sum_of_gamma` variables
            of which as many as there are nodes add up to one; or a `margin` of 1 that the right
            pairs of nodes are set back by.
        scale: Of the variables; the paper has 1, which is far above most cosines.
        second_order: Whether edges have affinities; without, the assignment is linear.
        matches: How many of the closest places count in the local affinity; all where it is null.
        kicks: How long the solver searches.
    """

    def __init__(
        self,
        *,
        alpha: float = 0.8,
        strength: float = 80.0,
        noise: Noise = "gumbel",
        scale: float = 0.05,
        second_order: bool = True,
        matches: int | None = None,
        kicks: int = 40,
    ) -> None:
        super().__init__()
        if not 0 <= alpha <= 1:
            msg = f"alpha must be in [0, 1], got {alpha}"
            raise ValueError(msg)
        if strength <= 0 or scale < 0:
            msg = f"strength must be positive and scale not negative, got {strength} and {scale}"
            raise ValueError(msg)
        if kicks < 0 or (matches is not None and matches < 1):
            msg = f"kicks must be 0 or more, matches 1 or more, got {kicks} and {matches}"
            raise ValueError(msg)
        self.alpha, self.strength, self.noise, self.scale = alpha, strength, noise, scale
        self.second_order, self.matches, self.kicks = second_order, matches, kicks

    @full_precision
    def forward(
        self,
        nodes_a: Float[Tensor, "graph node dim"],
        nodes_b: Float[Tensor, "graph node dim"],
        edges_a: Int[Tensor, "graph edge 2"],
        edges_b: Int[Tensor, "graph edge 2"],
        maps_a: Float[Tensor, "graph node place channel"],
        maps_b: Float[Tensor, "graph node place channel"],
        places_a: Float[Tensor, "graph node place axis"],
        places_b: Float[Tensor, "graph node place axis"],
    ) -> Loss:
        """Compare the graphs of two views of the same items, in the same order.

        Args:
            nodes_a: Of the first view, after messages have passed.
            nodes_b: Of the second.
            edges_a: Center and neighbor of each edge of the first view's graphs.
            edges_b: Of the second's.
            maps_a: What feature maps of the first view hold, place by place.
            maps_b: The same of the second.
            places_a: Where in their images these lie, from 0 to 1.
            places_b: The same of the second.
        """
        if not self.second_order:
            edges_a, edges_b = edges_a[:, :0], edges_b[:, :0]
        unit = functional.normalize
        vertex = self.alpha * unit(nodes_a, dim=2) @ unit(nodes_b, dim=2).mT
        if self.alpha < 1:
            local = local_affinity(maps_a, maps_b, places_a, places_b, count=self.matches)
            vertex = vertex + (1 - self.alpha) * local
        along = [_along(nodes_a, edges_a), _along(nodes_b, edges_b)]
        edge = unit(along[0], dim=2) @ unit(along[1], dim=2).mT
        with torch.no_grad():
            # What is not finite is matched anyhow; the loss is not finite then, and says so.
            noisy = self.perturbed(vertex).nan_to_num(), self.perturbed_edges(edge).nan_to_num()
            began_s = time.perf_counter()
            found, target, missed = match_toward_identity(
                *noisy, edges_a, edges_b,
                strength=self.strength, kicks=self.kicks,
                seed=torch.randint(2**31, ()),
            )  # fmt: skip
            solver_s = time.perf_counter() - began_s  # and the wait for what a device is to send
            identity = torch.arange(vertex.shape[1], device=vertex.device).expand_as(found)
            apart = [score(*noisy, edges_a, edges_b, one) for one in (found, identity)]
            wrong = (found != identity).sum(dim=1)
            notes = {
                "hamming": 2.0 * wrong.float().mean(),
                "node_accuracy": (found == identity).float().mean(),
                "identity_share": (wrong == 0).float().mean(),
                "missed_share": missed.float().mean(),
                "gap_vs_identity": (apart[0] - apart[1]).mean(),
                "solver_s": vertex.new_tensor(solver_s),
            }
        pull = self.surrogate(vertex, edge, edges_a, edges_b, found, target)
        return Loss({"matching": pull.mean()}, notes)

    def surrogate(  # a problem and two solutions
        self,
        vertex: Float[Tensor, "graph node node"],
        edge: Float[Tensor, "graph first second"],
        edges_a: Int[Tensor, "graph first 2"],
        edges_b: Int[Tensor, "graph second 2"],
        found: Int[Tensor, "graph node"],
        target: Int[Tensor, "graph node"],
    ) -> Float[Tensor, "graph"]:
        """Return by how much the score of what was found is above the target's, over lambda.

        Its gradient with respect to the affinities is that of the paper's Eq. 6.
        """
        of_found, of_target = (
            score(vertex, edge, edges_a, edges_b, one) for one in (found, target)
        )
        return (of_found - of_target) / self.strength

    def perturbed(self, vertex: Float[Tensor, "graph node node"]) -> Tensor:
        """Return affinities of nodes with noise, or set back on the diagonal."""
        if self.noise == "margin":
            return vertex - torch.eye(vertex.shape[1], device=vertex.device)
        return vertex + self.drawn(vertex, chosen=vertex.shape[1])

    def perturbed_edges(self, edge: Float[Tensor, "graph first second"]) -> Tensor:
        """Return affinities of edges with noise; a margin is of nodes alone."""
        return edge if self.noise == "margin" else edge + self.drawn(edge, chosen=edge.shape[1])

    def drawn(self, like: Tensor, *, chosen: int) -> Tensor:
        """Return noise of the shape, of which so many are chosen at once."""
        if self.noise == "gumbel":
            even = torch.rand_like(like).clamp(min=torch.finfo(like.dtype).tiny)
            return -self.scale * (-even.log()).log()
        return self.scale * sum_of_gamma(like, chosen=max(chosen, 1))


def sum_of_gamma(like: Tensor, *, chosen: int) -> Tensor:
    """Return variables of which as many as are chosen add up to about a Gumbel variable."""
    terms = torch.arange(1, GAMMAS + 1, device=like.device, dtype=like.dtype)
    gamma = torch.distributions.Gamma(torch.full_like(like, 1 / chosen), torch.ones_like(like))
    drawn = gamma.sample((GAMMAS,))
    scaled = drawn * (chosen / terms).view(-1, *(1,) * like.ndim)
    return (scaled.sum(dim=0) - torch.tensor(GAMMAS, dtype=like.dtype).log()) / chosen


def _along(
    nodes: Float[Tensor, "graph node dim"], edges: Int[Tensor, "graph edge 2"]
) -> Float[Tensor, "graph edge dim"]:
    """Return center minus neighbor of each edge."""
    ends = [nodes.gather(1, edges[..., end, None].expand(-1, -1, nodes.shape[2])) for end in (0, 1)]
    return ends[0] - ends[1]
