import pytest
import torch
from torch.nn.functional import cosine_similarity

from medssl.objectives._local_affinity import local_affinity


def by_definition(maps_a, maps_b, places_a, places_b, count):
    """Pair by pair and place by place."""
    graphs, nodes, places = maps_a.shape[:3]
    found = torch.zeros(graphs, nodes, nodes, dtype=maps_a.dtype)

    def one_way(map_1, map_2, apart):
        nearest = [int(apart[p].argmin()) for p in range(places)]
        order = sorted(range(places), key=lambda p: apart[p, nearest[p]].item())[:count]
        return sum(cosine_similarity(map_1[p], map_2[nearest[p]], dim=0) for p in order) / len(
            order
        )

    for g in range(graphs):
        for i in range(nodes):
            for a in range(nodes):
                pairs = (maps_a[g, i], maps_b[g, a]), (places_a[g, i], places_b[g, a])
                terms = []
                for one, other in (pairs[1], pairs[0]):
                    apart = torch.cdist(one, other)
                    terms += [one_way(*pairs[0], apart), one_way(*pairs[0][::-1], apart.T)]
                found[g, i, a] = sum(terms) / 4
    return found


def batch(nodes=3, places=4, seed=0):
    generator = torch.Generator().manual_seed(seed)
    maps = torch.randn(2, 2, nodes, places, 5, dtype=torch.float64, generator=generator)
    where = torch.rand(2, 2, nodes, places, 3, dtype=torch.float64, generator=generator)
    return *maps, *where


@pytest.mark.parametrize("count", [None, 2, 9])
def test_it_is_the_definition_place_by_place(count):
    expected = by_definition(*batch(), 99 if count is None else count)
    torch.testing.assert_close(local_affinity(*batch(), count=count), expected)


def test_a_view_is_wholly_like_itself_and_all_is_within_a_unit():
    maps, _, places, _ = batch()
    found = local_affinity(maps, maps, places, places)
    torch.testing.assert_close(found.diagonal(dim1=1, dim2=2), torch.ones(2, 3, dtype=maps.dtype))
    assert (local_affinity(*batch()).abs() <= 1).all()


def test_a_mirrored_view_meets_the_mirrored_places():
    maps, _, places, _ = batch()
    mirrored = local_affinity(maps, maps.flip(2), places, places.flip(2))
    torch.testing.assert_close(mirrored, local_affinity(maps, maps, places, places))


def test_it_is_the_same_seen_from_the_other_side():
    maps_a, maps_b, places_a, places_b = batch()
    torch.testing.assert_close(
        local_affinity(maps_b, maps_a, places_b, places_a).mT,
        local_affinity(maps_a, maps_b, places_a, places_b),
    )
