"""Local contrast against a loop over regions, and its lattice against the paper's numbers."""

import math

import numpy as np
import pytest
import torch

from medssl.objectives._regions import NEARBY_2D, anchors, nearby
from medssl.objectives.local_contrast import LocalContrast


def regions(num_items, num_regions, dim=4):
    generator = torch.Generator().manual_seed(0)
    return torch.randn(2, num_items, num_regions, dim, generator=generator, dtype=torch.float64)


def by_loops(a, b, spatial_dims, num_negatives, temperature=0.1):
    places, rows = nearby(spatial_dims, centers=True, num_negatives=num_negatives)
    assert a.shape[1] == len(places)
    a, b = (z / np.linalg.norm(z, axis=2, keepdims=True) for z in (a, b))
    terms = []
    for item in range(len(a)):
        for anchor, negatives in enumerate(rows):
            for one, other in ((a[item], b[item]), (b[item], a[item])):
                own = np.exp(one[anchor] @ other[anchor] / temperature)
                rest = sum(
                    np.exp(one[anchor] @ source[n] / temperature)
                    for n in negatives
                    for source in (one, other)
                )
                terms.append(-np.log(own / (own + rest)))
    return np.mean(terms)


@pytest.mark.parametrize(("spatial_dims", "num_regions"), [(2, 17), (3, 35)])
@pytest.mark.parametrize("temperature", [0.1, 0.7])
def test_it_is_the_mean_over_items_regions_and_directions(spatial_dims, num_regions, temperature):
    pair = regions(3, num_regions)
    total = LocalContrast(temperature=temperature)(*pair).total.item()
    assert total == pytest.approx(by_loops(*pair.numpy(), spatial_dims, 5, temperature), abs=1e-10)


@pytest.mark.parametrize(("spatial_dims", "num_regions"), [(2, 13), (3, 35)])
def test_all_other_regions_may_be_negatives(spatial_dims, num_regions):
    pair = regions(2, num_regions)
    total = LocalContrast(num_negatives="all")(*pair).total.item()
    assert total == pytest.approx(by_loops(*pair.numpy(), spatial_dims, "all"), abs=1e-10)
    _, rows = nearby(spatial_dims, centers=True, num_negatives="all")
    for anchor, negatives in enumerate(rows):
        assert {anchor, *negatives} == set(range(num_regions))


def test_four_negatives_are_the_first_four_of_the_table():
    total = LocalContrast(num_negatives=4)(*regions(2, 16)).total.item()
    assert total == pytest.approx(by_loops(*regions(2, 16).numpy(), 2, 4), abs=1e-10)


@pytest.mark.parametrize(
    ("options", "num_regions", "value"),
    [
        ({}, 17, 2.397895),
        ({}, 35, math.log(11)),
        ({"centers": False}, 17, math.log(11)),
        ({"num_negatives": 4}, 16, math.log(9)),
        ({"num_negatives": 7}, 35, math.log(15)),
        ({"num_negatives": "all"}, 13, math.log(25)),
        ({"num_negatives": "all", "centers": False}, 27, math.log(53)),
    ],
)
def test_collapse_leaves_a_uniform_guess(options, num_regions, value):
    ones = torch.ones(3, num_regions, 2, dtype=torch.float64)
    assert LocalContrast(**options)(ones, ones).total.item() == pytest.approx(value, abs=1e-6)


def test_replacing_an_item_leaves_the_others_terms():
    a, b = regions(2, 17)
    objective = LocalContrast()
    negatives = objective.lattice.negatives_2d
    before = objective.terms(a, b, negatives)
    a[1], b[1] = b[1].flip(0), a[1] + 1
    after = objective.terms(a, b, negatives)
    assert torch.equal(after[0], before[0])
    assert not torch.equal(after[1], before[1])


def test_the_lattice_of_the_papers_map_is_the_codes():
    starts = LocalContrast().lattice((48, 48))
    assert starts.shape == (17, 2)
    assert set(starts[:9].flatten().tolist()) == {0, 22, 44}
    assert starts[9:13].tolist() == [[11, 11], [11, 33], [33, 11], [33, 33]]
    assert starts.max() + 3 - 1 == 46
    assert LocalContrast(window_vox=1).lattice((48, 48)).max() == 47


@pytest.mark.parametrize(("spatial_dims", "num_anchors"), [(2, 13), (3, 35)])
def test_windows_of_a_wide_map_never_overlap(spatial_dims, num_anchors):
    for length in range(24, 60):
        starts = LocalContrast().lattice((length,) * spatial_dims)[:num_anchors].double()
        assert torch.nn.functional.pdist(starts, p=torch.inf).min() >= 3


@pytest.mark.parametrize("shape", [(8, 9), (24, 17, 8), (31, 8, 50)])
@pytest.mark.parametrize("window_vox", [1, 3])
def test_regions_are_distinct_and_inside_of_the_map(shape, window_vox):
    starts = LocalContrast(window_vox=window_vox).lattice(shape)
    assert len({tuple(start) for start in starts.tolist()}) == len(starts)
    assert (starts >= 0).all()
    assert (starts + window_vox <= torch.tensor(shape)).all()


def test_the_tables_negatives_are_five_others_near_each_anchor():
    assert set(NEARBY_2D) == set(anchors(2, centers=True))
    for place, negatives in NEARBY_2D.items():
        assert len(set(negatives) - {place}) == 5
        assert max(math.dist(place, other) for other in negatives) <= math.sqrt(5)
    assert len(set(sum(NEARBY_2D.values(), ())) | set(NEARBY_2D)) == 17


def test_in_3d_no_anchor_is_nearer_than_the_negatives():
    places, rows = nearby(3, centers=True, num_negatives=5)
    assert len(places) == 27 + 8
    for anchor, negatives in enumerate(rows):
        distance = [math.dist(places[anchor], place) for place in places]
        left_out = set(range(35)) - {anchor, *negatives}
        assert anchor not in negatives
        assert max(distance[n] for n in negatives) <= min(distance[n] for n in left_out)


@pytest.mark.parametrize(("window_vox", "least"), [(1, 5), (3, 8)])
def test_a_map_too_small_for_the_lattice_is_refused(window_vox, least):
    objective = LocalContrast(window_vox=window_vox)
    objective.lattice((least, least))
    with pytest.raises(
        ValueError, match=rf"at least {least} voxels an axis, got \({least}, {least - 1}"
    ):
        objective.lattice((least, least - 1))


def test_what_is_no_lattice_is_refused():
    with pytest.raises(ValueError, match=r"\[17, 35\] regions in 2-D and 3-D, got 16 of a map"):
        LocalContrast()(*regions(2, 16))


def test_numbers_of_negatives_that_there_are_not_are_refused():
    with pytest.raises(ValueError, match=r"num_negatives must be in \[1, 34\] in 3-D, got 35"):
        LocalContrast(num_negatives=35)
    with pytest.raises(ValueError, match="at most 5 in 2-D, got 6"):
        LocalContrast(num_negatives=6).lattice((48, 48))
