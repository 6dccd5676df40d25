import affinity_loops
import pytest
import torch

from medssl.objectives._local_affinity import local_affinity


def batch(nodes=3, places=4, seed=0):
    generator = torch.Generator().manual_seed(seed)
    maps = torch.randn(2, 2, nodes, places, 5, dtype=torch.float64, generator=generator)
    where = torch.rand(2, 2, nodes, places, 3, dtype=torch.float64, generator=generator)
    return *maps, *where


@pytest.mark.parametrize("count", [None, 2, 9])
def test_it_is_the_definition_place_by_place(count):
    expected = affinity_loops.local(*batch(), 99 if count is None else count)
    torch.testing.assert_close(local_affinity(*batch(), count=count), expected)


def test_a_view_is_wholly_like_itself_and_all_is_within_a_unit():
    maps, _, places, _ = batch()
    found = local_affinity(maps, maps, places, places)
    torch.testing.assert_close(found.diagonal(dim1=1, dim2=2), torch.ones(2, 3, dtype=maps.dtype))
    assert (local_affinity(*batch()).abs() <= 1).all()


def test_the_nearest_place_and_the_nearest_features_have_a_half_each():
    maps, places = torch.eye(2)[None, None], torch.tensor([[[[0.25], [0.75]]]])
    # where the second view shows the same place the contents are exchanged
    assert local_affinity(maps, maps.flip(2), places, places).item() == 0.5
    # the first channel is nowhere in the second view: by place 1/2 either way, by features 1/2
    # of the first view's places and all of the second's
    one = torch.tensor([[[[0.0, 1], [0, 1]]]])
    assert local_affinity(maps, one, places, places).item() == 0.625


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
