"""Graphs of vectors: which are whose nearest neighbors, and what these tell each other.

Source: Kipf, Welling, "Semi-Supervised Classification with Graph Convolutional Networks", ICLR
2017, arXiv:1609.02907, Eq. 2; Morris et al., "Weisfeiler and Leman Go Neural", AAAI 2019,
arXiv:1810.02244, with the maximum over neighbors, as later code of LVM-Med's authors has it.
Departs from the papers: no nonlinearity after the last layer; neighbors are those of either
direction.
"""

from typing import Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional

Kind = Literal["gcn", "graphconv"]


def nearest_neighbors(
    nodes: Float[Tensor, "graph node dim"], count: int
) -> Int[Tensor, "graph edge 2"]:
    """Return an edge from each node to each of its nearest others by cosine, without a gradient.

    Raises:
        ValueError: If there are not so many.
    """
    if not 1 <= count < nodes.shape[1]:
        msg = f"a graph of {nodes.shape[1]} nodes has 1 to {nodes.shape[1] - 1} others, got {count}"
        raise ValueError(msg)
    unit = functional.normalize(nodes.detach().float(), dim=2)
    alike = unit @ unit.mT
    itself = torch.eye(nodes.shape[1], dtype=torch.bool, device=nodes.device)
    near = alike.masked_fill(itself, -torch.inf).topk(count, dim=2).indices
    center = torch.arange(nodes.shape[1], device=nodes.device)[:, None].expand_as(near)
    return torch.stack([center.flatten(1), near.flatten(1)], dim=2)


class MessagePassing(nn.Module):
    """Layers in which each node hears its neighbors; without layers, what it is.

    Args:
        dim: Numbers of a node, before and after.
        layers: How many.
        kind: `gcn` averages a node and its neighbors, weighed by how many each has; `graphconv`
            adds the largest of each number among the neighbors.
    """

    def __init__(self, dim: int, *, layers: int, kind: Kind) -> None:
        super().__init__()
        self.kind = kind
        self.own = nn.ModuleList(nn.Linear(dim, dim) for _ in range(layers))
        others = layers if kind == "graphconv" else 0
        self.others = nn.ModuleList(nn.Linear(dim, dim, bias=False) for _ in range(others))

    def forward(
        self, nodes: Float[Tensor, "graph node dim"], edges: Int[Tensor, "graph edge 2"]
    ) -> Float[Tensor, "graph node dim"]:
        """Return the nodes after all messages."""
        joined = adjacency(edges, nodes.shape[1])
        for number, own in enumerate(self.own):
            if self.kind == "gcn":
                nodes = own(normalized(joined).to(nodes.dtype) @ nodes)
            else:
                nodes = own(nodes) + self.others[number](largest(nodes, joined))
            if number < len(self.own) - 1:
                nodes = nodes.relu()
        return nodes


def adjacency(
    edges: Int[Tensor, "graph edge 2"], num_nodes: int
) -> Bool[Tensor, "graph node node"]:
    """Return which nodes an edge joins, in either direction."""
    flat = edges[..., 0] * num_nodes + edges[..., 1]
    joined = torch.zeros(len(edges), num_nodes**2, dtype=torch.bool, device=edges.device)
    joined = joined.scatter(1, flat, value=True).unflatten(1, (num_nodes, num_nodes))
    return joined | joined.mT


def normalized(joined: Bool[Tensor, "graph node node"]) -> Float[Tensor, "graph node node"]:
    """Return D^-1/2 (A + I) D^-1/2, whose D counts a node among its neighbors."""
    whole = joined | torch.eye(joined.shape[1], dtype=torch.bool, device=joined.device)
    root = whole.sum(dim=2).float().rsqrt()
    return root[:, :, None] * whole * root[:, None]


def largest(
    nodes: Float[Tensor, "graph node dim"], joined: Bool[Tensor, "graph node node"]
) -> Float[Tensor, "graph node dim"]:
    """Return the largest of each number among a node's neighbors."""
    told = nodes[:, None].masked_fill(~joined[..., None], -torch.inf)
    return told.amax(dim=2)
