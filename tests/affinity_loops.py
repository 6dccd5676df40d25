"""LVM-Med's affinities as its equations have them, pair by pair and place by place."""

from itertools import product

import torch
from torch.nn.functional import cosine_similarity


def local(maps_a, maps_b, places_a, places_b, count):
    """Half of Eq. 2, as the mean over both directions, over so many of the closest matches."""
    graphs, nodes, places = maps_a.shape[:3]
    found = torch.zeros(graphs, nodes, nodes, dtype=maps_a.dtype)

    def one_way(map_1, map_2, apart):
        nearest = [int(apart[p].argmin()) for p in range(places)]
        order = sorted(range(places), key=lambda p: apart[p, nearest[p]].item())[:count]
        return sum(cosine_similarity(map_1[p], map_2[nearest[p]], dim=0) for p in order) / len(
            order
        )

    for g, i, a in product(range(graphs), range(nodes), range(nodes)):
        maps = maps_a[g, i], maps_b[g, a]
        terms = []
        for one, other in ((places_a[g, i], places_b[g, a]), maps):
            apart = torch.cdist(one, other)
            terms += [one_way(*maps, apart), one_way(*maps[::-1], apart.T)]
        found[g, i, a] = sum(terms) / 4
    return found


def of_nodes(nodes_a, nodes_b, near, alpha):
    """Eq. 3."""
    found = torch.zeros_like(near)
    for g, i, a in product(*map(range, near.shape)):
        alike = cosine_similarity(nodes_a[g, i], nodes_b[g, a], dim=0)
        found[g, i, a] = alpha * alike + (1 - alpha) * near[g, i, a]
    return found


def of_edges(nodes_a, nodes_b, edges_a, edges_b):
    """The cosine of what leads along an edge of the one graph and along one of the other."""
    found = nodes_a.new_zeros(len(nodes_a), edges_a.shape[1], edges_b.shape[1])
    for g, e, f in product(*map(range, found.shape)):
        (i, j), (a, b) = edges_a[g, e].tolist(), edges_b[g, f].tolist()
        along = nodes_a[g, i] - nodes_a[g, j], nodes_b[g, a] - nodes_b[g, b]
        found[g, e, f] = cosine_similarity(*along, dim=0)
    return found
