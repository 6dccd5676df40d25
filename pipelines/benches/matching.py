"""Matching graphs: time, and how far from the best known score, against pygmtools.

Pairs of graphs are two noisy copies of random features with edges to the five nearest, and cosines
of nodes and of edges as affinities. Everybody builds those and what it needs of them, and is scored
by them: RRWM and SM need a matrix without negative numbers, which is another problem, but their
permutations are scored like all others. The best known score of a pair is the best of all solvers
and of a long search of ours.

The fewest pairs have a limit of time, and so has the whole objective on as many, which no peer has:
it also compares what feature maps hold, place by place.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path

import pygmtools
import torch
from jaxtyping import Float, Int
from rich.console import Console
from rich.table import Table
from torch import Tensor
from torch.nn import functional

from medssl.assignment.quadratic import score, solve
from medssl.errors import ConfigError
from medssl.objectives.second_order_matching import SecondOrderMatching
from pipelines.benches import Goal, Measured, Result
from pipelines.benches._measuring import on_cores, ratio

__all__ = ["Matching"]

DIM = 128
CHANNELS = 64  # of a feature map
EASY = 1.0  # up to here IPFP is done after a few steps
LONG = 2000  # kicks
PEERS = ("RRWM", "IPFP", "SM")
Problem = tuple[Tensor, Tensor, Tensor, Tensor]
Solver = Callable[[Tensor, Tensor], Int[Tensor, "graph node"]]


@dataclass(frozen=True, kw_only=True)
class Matching:
    """Measures it.

    Args:
        graphs: Pairs that are solved at once; the largest number is compared with the peers.
        nodes: Of a graph.
        neighbors: Edges of a node.
        noise: Deviations of what is added to each copy's features.
        places: Of a feature map; the method has 4 along each axis unless told otherwise.
        repetitions: How often each is timed, in turn.
        cores: How many all run on.
        faster_than_rrwm: How many times as fast as RRWM it has to be.
        slower_than_ipfp: How many times IPFP's time it may take where noise is at most 1.
        faster_than_ipfp: How many times as fast as IPFP it has to be where noise is more.
        most_ms: What the fewest pairs may take.
    """

    graphs: tuple[int, ...] = (12, 64, 200)
    nodes: int = 16
    neighbors: int = 5
    noise: tuple[float, ...] = (0.1, 1.0, 3.0)
    places: tuple[int, ...] = (16, 64)
    repetitions: int = 5
    cores: int = 2
    faster_than_rrwm: float = 10.0
    slower_than_ipfp: float = 1.0
    faster_than_ipfp: float = 3.0
    most_ms: float = 60.0

    def __post_init__(self) -> None:
        counts = (
            *self.graphs,
            *self.places,
            self.nodes,
            self.neighbors,
            self.repetitions,
            self.cores,
        )
        if not self.graphs or not self.noise or min(counts) < 1 or self.neighbors >= self.nodes:
            msg = (
                f"expected counts of at least 1 and fewer neighbors than nodes, got {counts}, and "
                f"some noise, got {self.noise}"
            )
            raise ConfigError(msg)

    def __call__(self, folder: Path) -> Result:
        """Solve, time and score."""
        measured: list[Measured] = []
        details: dict[str, object] = {"pygmtools": version("pygmtools")}
        table = Table(title="ms (mean gap to the best known score)")
        for column in ("noise", "graphs", "medssl", *PEERS):
            table.add_column(column)
        with on_cores(self.cores):
            for noise in self.noise:
                for graphs in self.graphs:
                    taken_s, gaps = self._compare(graphs, noise)
                    details[f"noise {noise:g}, {graphs} graphs"] = {"s": taken_s, "gap": gaps}
                    cells = (
                        f"{1e3 * min(taken_s[name]):.3g} ({gaps[name]:.3g})" for name in taken_s
                    )
                    table.add_row(f"{noise:g}", str(graphs), *cells)
                    if graphs == min(self.graphs):
                        measured += self._short(noise, graphs, taken_s["medssl"])
                    if graphs == max(self.graphs):
                        measured += self._against(noise, taken_s, gaps)
        Console(width=140 if not Console().is_terminal else None).print(table)
        return Result(measured=tuple(measured), details=details)

    def _compare(
        self, graphs: int, noise: float
    ) -> tuple[dict[str, list[float]], dict[str, float]]:
        z_a, z_b = noisy_copies(graphs, self.nodes, noise)
        build = partial(affinities, neighbors=self.neighbors)
        problem = build(z_a, z_b)
        solvers: dict[str, Solver] = {
            "medssl": lambda a, b: solve(*build(a, b), seed=0),
            **{name: partial(_by_peer, name, build) for name in PEERS},
        }
        taken_s: dict[str, list[float]] = {name: [] for name in solvers}
        found: dict[str, Tensor] = {}
        for repetition in range(self.repetitions + 1):
            for name, solver in solvers.items():
                began = time.perf_counter()
                found[name] = solver(z_a, z_b)
                if repetition:  # the first one compiles
                    taken_s[name].append(time.perf_counter() - began)
        scores = {name: score(*problem, each) for name, each in found.items()}
        long = score(*problem, solve(*problem, seed=1, kicks=LONG))
        best = torch.stack([long, *scores.values()]).amax(dim=0)
        return taken_s, {name: float((best - each).mean()) for name, each in scores.items()}

    def _short(self, noise: float, graphs: int, taken_s: list[float]) -> list[Measured]:
        times = {f"time_of_{graphs} at {noise:g}": (taken_s, "affinities and solver")}
        for places in self.places:
            whole = self._whole(graphs, noise, places), "affinities, local ones too, solver, loss"
            times[f"loss_of_{graphs} at {noise:g}, {places} places"] = whole
        return [self._limited(name, *each) for name, each in times.items()]

    def _whole(self, graphs: int, noise: float, places: int) -> list[float]:
        """Return the seconds that the objective takes, of views with feature maps."""
        z = noisy_copies(graphs, self.nodes, noise)
        generator = torch.Generator().manual_seed(1)
        shape = (2, graphs, self.nodes, places)
        maps = torch.randn(*shape, CHANNELS, generator=generator)
        where = torch.rand(*shape, 3, generator=generator)
        objective = SecondOrderMatching()
        taken_s = []
        for repetition in range(self.repetitions + 1):
            learned = [one.detach().requires_grad_() for one in (*z, *maps)]
            began = time.perf_counter()
            edges = [nearest(one.detach(), self.neighbors) for one in learned[:2]]
            objective(*learned[:2], *edges, *learned[2:], *where)
            if repetition:  # the first one compiles
                taken_s.append(time.perf_counter() - began)
        return taken_s

    def _limited(self, name: str, taken_s: list[float], what: str) -> Measured:
        taken_ms = sorted(1e3 * each for each in taken_s)
        return Measured(
            name=name,
            value=taken_ms[len(taken_ms) // 2],
            low=taken_ms[0],
            high=taken_ms[-1],
            unit=f"ms, {what}",
            goal=Goal(side="at most", limit=self.most_ms),
        )

    def _against(
        self, noise: float, taken_s: dict[str, list[float]], gaps: dict[str, float]
    ) -> list[Measured]:
        best = min(gaps[name] for name in PEERS)
        is_easy = noise <= EASY
        limit = 1 / self.slower_than_ipfp if is_easy else self.faster_than_ipfp
        behind = gaps["medssl"] - best
        return [
            ratio(
                f"rrwm at {noise:g}",
                taken_s["RRWM"],
                taken_s["medssl"],
                unit="x as fast as RRWM",
                goal=Goal(side="at least", limit=self.faster_than_rrwm),
            ),
            ratio(
                f"ipfp at {noise:g}",
                taken_s["IPFP"],
                taken_s["medssl"],
                unit="x as fast as IPFP",
                goal=Goal(side="at least", limit=limit),
            ),
            Measured(
                name=f"gap at {noise:g}",
                value=behind,
                low=behind,
                high=behind,
                unit=f"mean gap ({gaps['medssl']:.3g}) less that of the best peer ({best:.3g})",
                goal=Goal(side="at most", limit=0.0),
            ),
        ]


def noisy_copies(graphs: int, nodes: int, noise: float) -> tuple[Tensor, Tensor]:
    """Return two noisy copies of random features."""
    generator = torch.Generator().manual_seed(0)
    z = torch.randn(graphs, nodes, DIM, generator=generator)
    one, other = (z + noise * torch.randn(z.shape, generator=generator) for _ in range(2))
    return one, other


def affinities(
    z_a: Float[Tensor, "graph node dim"], z_b: Float[Tensor, "graph node dim"], *, neighbors: int
) -> Problem:
    """Return the affinities of nodes and of edges, and the edges of both graphs."""
    edges = [nearest(z, neighbors) for z in (z_a, z_b)]
    along = [ends(z, edge) for z, edge in zip((z_a, z_b), edges, strict=True)]
    unit = functional.normalize
    vertex = unit(z_a, dim=2) @ unit(z_b, dim=2).mT
    return vertex, unit(along[0], dim=2) @ unit(along[1], dim=2).mT, edges[0], edges[1]


def nearest(z: Float[Tensor, "graph node dim"], count: int) -> Int[Tensor, "graph edge 2"]:
    """Return an edge from each node to each of its nearest others."""
    apart = torch.cdist(z, z)
    apart.diagonal(dim1=1, dim2=2).fill_(torch.inf)
    near = apart.topk(count, largest=False).indices
    center = torch.arange(z.shape[1])[None, :, None].expand_as(near)
    return torch.stack([center.flatten(1), near.flatten(1)], dim=2)


def ends(
    z: Float[Tensor, "graph node dim"], edges: Int[Tensor, "graph edge 2"]
) -> Float[Tensor, "graph edge dim"]:
    """Return what leads from the one end of each edge to the other."""
    at = [z.gather(1, edges[..., end, None].expand(-1, -1, z.shape[2])) for end in range(2)]
    return at[1] - at[0]


def matrix_of(problem: Problem) -> Float[Tensor, "graph pair pair"]:
    """Return the dense matrix that pygmtools takes: of pairs of nodes, the first graph's inside."""
    vertex, edge, first, second = problem
    graphs, n = vertex.shape[:2]
    matrix = torch.zeros(graphs, n * n, n * n)
    matrix.diagonal(dim1=1, dim2=2).copy_(vertex.mT.flatten(1))
    rows = second[:, None, :, 0] * n + first[:, :, None, 0]
    columns = second[:, None, :, 1] * n + first[:, :, None, 1]
    flat = (rows * n * n + columns).flatten(1)
    matrix.view(graphs, -1).scatter_add_(1, flat, edge.flatten(1))
    # the same form, and the gradient that the solvers take for granted
    return (matrix + matrix.mT) / 2


def _by_peer(
    name: str, build: Callable[[Tensor, Tensor], Problem], z_a: Tensor, z_b: Tensor
) -> Int[Tensor, "graph node"]:
    matrix = matrix_of(build(z_a, z_b))
    if name != "IPFP":
        matrix -= matrix.amin().clamp(max=0)
    n = z_a.shape[1]
    counts = torch.full((len(matrix),), n)
    peer = getattr(pygmtools, name.lower())
    soft = peer(matrix, counts, counts, backend="pytorch")
    found: Tensor = pygmtools.hungarian(soft, backend="pytorch").argmax(dim=2)
    return found
