"""How alike feature maps are where they show the same place, and where they are most alike.

Source: Nguyen et al., "LVM-Med", NeurIPS 2023, arXiv:2306.11925, Eq. 2 and its appendix, after
VICRegL (Bardes, Ponce, LeCun, NeurIPS 2022, arXiv:2210.01571).
Departs from the paper: half of the sum, over both directions, so that it is a mean of cosines; the
paper's equation is four times as large as its pseudo-code.
"""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional


def local_affinity(
    maps_a: Float[Tensor, "graph node place channel"],
    maps_b: Float[Tensor, "graph node place channel"],
    places_a: Float[Tensor, "graph node place axis"],
    places_b: Float[Tensor, "graph node place axis"],
    *,
    count: int | None = None,
) -> Float[Tensor, "graph node node"]:
    """Return the affinity of each node of the one graphs with each of the others, in [-1, 1].

    A place of the one map is compared with the place of the other that is nearest in the image, and
    with that which is nearest in features.

    Args:
        maps_a: Of the first views.
        maps_b: Of the second.
        places_a: Where in their images the first maps' places lie.
        places_b: Where the second ones' do.
        count: How many matches count for a pair of nodes, the closest ones; all where it is None.
    """
    alike = _pairwise(functional.normalize(maps_a, dim=3), functional.normalize(maps_b, dim=3))
    with torch.no_grad():
        apart = _distances(places_a, places_b), _distances(maps_a, maps_b)
    there = [_matched(alike, each, count) for each in apart]
    back = [_matched(_turned(alike), _turned(each), count).mT for each in apart]
    return (there[0] + there[1] + back[0] + back[1]) / 4


def _pairwise(a: Tensor, b: Tensor) -> Float[Tensor, "graph node place node place"]:
    return torch.einsum("gipd,gaqd->gipaq", a, b)


def _distances(a: Tensor, b: Tensor) -> Float[Tensor, "graph node place node place"]:
    graphs, nodes, places = a.shape[:3]
    apart = torch.cdist(a.flatten(1, 2), b.flatten(1, 2))
    return apart.view(graphs, nodes, places, *b.shape[1:3])


def _turned(pairs: Float[Tensor, "graph node place node place"]) -> Tensor:
    return pairs.permute(0, 3, 4, 1, 2)


def _matched(
    alike: Float[Tensor, "graph node place node place"],
    apart: Float[Tensor, "graph node place node place"],
    count: int | None,
) -> Float[Tensor, "graph node node"]:
    """Return the mean cosine of each place with the nearest place of the other map."""
    nearest = apart.min(dim=4)
    cosine = alike.gather(4, nearest.indices[..., None])[..., 0]
    if count is None:
        return cosine.mean(dim=2)
    closest = nearest.values.topk(min(count, cosine.shape[2]), dim=2, largest=False).indices
    return cosine.gather(2, closest).mean(dim=2)
