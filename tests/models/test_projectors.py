import pytest
import torch
from torch.nn import functional as F  # noqa: N812

from medssl.models.projectors import GlobalProjector, LocalProjector, grid_means, windows


def maps(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("grid", [1, 2, 3])
@pytest.mark.parametrize("shape", [(6, 6), (5, 7), (2, 4), (4, 5, 7), (2, 3, 6)])
def test_grid_means_are_adaptive_average_pooling(grid, shape):
    feature = maps(2, 3, *shape)
    pool = {2: F.adaptive_avg_pool2d, 3: F.adaptive_avg_pool3d}[len(shape)]
    torch.testing.assert_close(grid_means(feature, grid), pool(feature, grid))


@pytest.mark.parametrize(("shape", "cells"), [((6, 6), 4), ((6, 4, 5), 8)])
def test_the_global_head_is_two_layers_without_bias_on_the_cells(shape, cells):
    torch.manual_seed(0)
    head = GlobalProjector(3, len(shape), grid=2, hidden_dim=10, out_dim=7)
    first, last = head.layers[0].weight, head.layers[2].weight
    assert [p.shape for p in head.parameters()] == [(10, 3 * cells), (7, 10)]
    flat = grid_means(maps(2, 3, *shape), 2).reshape(2, 3 * cells)
    torch.testing.assert_close(head(maps(2, 3, *shape)), (flat @ first.T).relu() @ last.T)


def test_the_global_head_sees_where_in_the_map_something_is():
    torch.manual_seed(0)
    head = GlobalProjector(3, 2, grid=2, hidden_dim=10, out_dim=7)
    feature = maps(1, 3, 6, 6)
    assert not torch.allclose(head(feature), head(feature.flip(2)))


@pytest.mark.parametrize("shape", [(8, 10), (8, 10, 9)])
@pytest.mark.parametrize("side", [1, 3])
def test_windows_of_a_map_of_its_own_coordinates_say_where_they_are(shape, side):
    coordinates = torch.stack(torch.meshgrid(*map(torch.arange, shape), indexing="ij"))
    feature = torch.stack([coordinates, coordinates + 100]).float()
    starts = torch.tensor([[0, 0, 0], [5, 7, 6], [2, 1, 4]])[:, : len(shape)]
    cut = windows(feature, starts, side)
    assert cut.shape == (2, 3, len(shape), side ** len(shape))
    for region, start in enumerate(starts.tolist()):
        place = tuple(slice(first, first + side) for first in start)
        for item in range(2):
            expected = coordinates[(slice(None), *place)].flatten(1) + 100 * item
            assert torch.equal(cut[item, region].long(), expected)


@pytest.mark.parametrize("shape", [(8, 10), (8, 10, 9)])
def test_the_local_head_gives_a_vector_a_region(shape):
    torch.manual_seed(0)
    dims = len(shape)
    starts = torch.tensor([[0, 0, 0], [5, 7, 6]])[:, :dims]
    feature = maps(2, 4, *shape)
    single = LocalProjector(4, dims, window_vox=1, out_dim=6)
    corner = single.layers(feature)[(..., *(0,) * dims)]
    torch.testing.assert_close(single(feature, starts)[:, 0], corner)
    joined = LocalProjector(4, dims, window_vox=3, out_dim=6)
    place = (..., slice(5, 8), slice(7, 10), slice(6, 9))[: dims + 1]
    window = joined.layers(feature)[place].flatten(1)
    torch.testing.assert_close(joined(feature, starts)[:, 1], window @ joined.join.weight.T)


def test_the_local_heads_convolutions_have_no_bias_and_see_one_voxel():
    head = LocalProjector(4, 2, window_vox=3, out_dim=6)
    convolutions = [m for m in head.layers if hasattr(m, "kernel_size")]
    assert [(c.kernel_size, c.bias) for c in convolutions] == [((1, 1), None)] * 2
    assert head.join.weight.shape == (6, 9 * 4)
