"""Graph matching: a graph of the items of a batch in one view, matched to that in the other view.

Serves every `MatchingObjective`; with `second_order_matching` it is LVM-Med.

Source: Nguyen et al., "LVM-Med: Learning Large-Scale Self-Supervised Vision Models for Medical
Imaging via Second-order Graph Matching", NeurIPS 2023, arXiv:2306.11925, Sec. 3.
Departs from the paper: two views of one size instead of crops of two sizes; a node hears the
largest of its neighbors beside itself, as in later code of the authors', unless it is told to
average over them; who is whose neighbor is found by cosine, and messages go both ways, along an
edge and against it, while edges are matched in their direction alone; in an average a node's degree
counts the node itself, and a ReLU, which the paper leaves open, is between layers and not after the
last; local affinities are those of the encoder's own channels, not of projected ones, averaged over
the cells of a grid; places in an image are shares of its extent, so that those of two images can be
compared.
"""

from typing import NamedTuple, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from medssl.data.correspondence import places_in_case
from medssl.data.views import Views
from medssl.methods import taken
from medssl.models.encoders import Encoder
from medssl.models.message_passing import Kind, MessagePassing, nearest_neighbors
from medssl.models.projectors import grid_means
from medssl.objectives import Loss, MatchingObjective

__all__ = ["GraphMatching"]

FEWEST = 3  # nodes of a graph that has edges to match


class Features(NamedTuple):
    """Two views of each item: a vector, a map by its cells, and where in the image these lie."""

    z_a: Float[Tensor, "item dim"]
    z_b: Float[Tensor, "item dim"]
    maps_a: Float[Tensor, "item cell channel"]
    maps_b: Float[Tensor, "item cell channel"]
    places_a: Float[Tensor, "item cell 3"]
    places_b: Float[Tensor, "item cell 3"]


class GraphMatching(nn.Module):
    """An encoder, a linear projector and messages between neighbors under a matching objective.

    Items that follow one another make a graph; those that fill none are left out. Each rank has
    graphs of its own, whose losses DDP averages.

    Args:
        encoder: The backbone that pretraining is for.
        objective: Compares the graphs.
        graph_size: Nodes of a graph, or all items where they are fewer.
        neighbors: Edges from each node; all others where they are fewer.
        messages: How neighbors are heard.
        layers: How often; 0 passes no message.
        grid: Cells along each axis that the coarsest map is averaged over.
        projection_dim: Numbers of a node.
    """

    def __init__(
        self,
        encoder: Encoder,
        *,
        objective: MatchingObjective,
        graph_size: int = 16,
        neighbors: int = 5,
        messages: Kind = "graphconv",
        layers: int = 2,
        grid: int = 4,
        projection_dim: int = 128,
    ) -> None:
        super().__init__()
        if graph_size < FEWEST or neighbors < 1 or layers < 0:
            msg = (
                f"GraphMatching needs graphs of at least {FEWEST} nodes with a neighbor each and "
                f"layers from 0 on, got {graph_size}, {neighbors} and {layers}"
            )
            raise ValueError(msg)
        self.encoder, self.objective = encoder, objective
        self.graph_size, self.neighbors, self.grid = graph_size, neighbors, grid
        self.projector = nn.Linear(encoder.channels[-1], projection_dim)
        self.messages = MessagePassing(projection_dim, layers=layers, kind=messages)
        self.takes = taken(objective)

    def embed(self, views: Views) -> Features:
        """Encode the first two views of each item, and say where the cells of their maps lie."""
        images = views.images[:2]
        if len(images) < 2:
            msg = f"GraphMatching compares 2 views of each item, got {len(images)}"
            raise ValueError(msg)
        coarsest = self.encoder(images.flatten(0, 1))[-1]
        z_a, z_b = self.projector(coarsest.flatten(2).mean(2)).chunk(2)
        maps_a, maps_b = grid_means(coarsest, self.grid).flatten(2).mT.chunk(2)
        places_a, places_b = (self.places(views, view) for view in (0, 1))
        return Features(z_a, z_b, maps_a, maps_b, places_a, places_b)

    def places(self, views: Views, view: int) -> Float[Tensor, "item cell 3"]:
        """Return where in their images the middles of a view's cells lie, as shares of these."""
        spatial = views.images.shape[3:]
        cell = (torch.arange(self.grid, device=views.images.device) + 0.5) / self.grid
        axes = [cell * size - 0.5 for size in spatial]
        middles = torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1).flatten(0, -2)
        points = middles.expand(views.images.shape[1], -1, -1)
        return (places_in_case(views, view, points) + 0.5) / views.extent[:, None]

    def compare(self, features: Features) -> Loss:
        """Make graphs, pass messages, and hand the objective what it takes."""
        items = len(features.z_a)
        nodes = min(self.graph_size, items)
        if nodes < FEWEST:
            msg = f"GraphMatching needs a batch of at least {FEWEST} items, got {items}"
            raise ValueError(msg)
        graphs = {
            name: part[: items // nodes * nodes].unflatten(0, (-1, nodes))
            for name, part in features._asdict().items()
        }
        offered = {name: part for name, part in graphs.items() if not name.startswith("z")}
        for view in ("a", "b"):
            z = graphs[f"z_{view}"]
            edges = nearest_neighbors(z, min(self.neighbors, nodes - 1))
            offered |= {f"edges_{view}": edges, f"nodes_{view}": self.messages(z, edges)}
        return self.objective(**{name: offered[name] for name in self.takes})

    def forward(self, views: Views) -> Loss:
        """Return the loss of one batch of view pairs."""
        return self.compare(self.embed(views))

    def after_step(self, progress: float) -> None:
        """Do nothing: the optimizer moves all there is."""

    def exports(self) -> dict[str, nn.Module]:
        """Return the encoder; projector and messages are thrown away."""
        return {"encoder": cast(nn.Module, self.encoder)}
