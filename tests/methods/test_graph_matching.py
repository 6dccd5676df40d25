import pytest
import torch
from unmoved import unmoved

from medssl.data.views import Views
from medssl.methods.graph_matching import GraphMatching
from medssl.models.encoders.unet import UNet
from medssl.models.message_passing import nearest_neighbors
from medssl.objectives import Loss
from medssl.objectives.second_order_matching import SecondOrderMatching


def made(dims=2, **options):
    torch.manual_seed(0)
    encoder = UNet(channels=(4, 8), spatial_dims=dims)
    objective = options.pop("objective", SecondOrderMatching())
    return GraphMatching(encoder, objective=objective, **{"projection_dim": 6} | options)


def views_of(items=8, dims=2, seed=0):
    images = torch.randn(2, items, 1, *(8,) * dims, generator=torch.Generator().manual_seed(seed))
    zeros = torch.zeros(items, dtype=torch.long)
    return Views(images, torch.arange(items), zeros, torch.arange(items), *unmoved(images))


@pytest.mark.parametrize("dims", [2, 3])
def test_graphs_are_of_items_that_follow_one_another_and_the_rest_is_left_out(dims):
    seen = {}

    def objective(nodes_a, nodes_b, edges_a, edges_b, maps_a, maps_b, places_a, places_b):
        seen.update(nodes_a=nodes_a, edges_a=edges_a, maps_b=maps_b, places_a=places_a)
        return Loss({"none": nodes_a.sum()})

    method = made(dims, objective=objective, graph_size=3, neighbors=5)
    views = views_of(8, dims)
    method(views)
    found = method.embed(views)
    assert seen["nodes_a"].shape == (2, 3, 6)
    # fewer others than neighbors are asked for
    assert seen["edges_a"].shape == (2, 6, 2)
    z = found.z_a[:6].unflatten(0, (2, 3))
    edges = nearest_neighbors(z, 2)
    assert torch.equal(seen["edges_a"], edges)
    torch.testing.assert_close(seen["nodes_a"], method.messages(z, edges))
    torch.testing.assert_close(seen["maps_b"].flatten(0, 1), found.maps_b[:6])
    assert seen["places_a"].shape == (2, 3, 4**dims, 3)


def test_places_are_shares_of_the_image():
    method = made(grid=2)
    views = views_of(2)
    images = views.images
    matrix = views.matrix.clone()
    # the second view shows the left half of an image of 16 x 8, mirrored
    matrix[1, :, 0, 0], matrix[1, :, 0, 2] = -1, 7
    extent = torch.tensor([[16, 8, 1]]).repeat(2, 1)
    found = method.embed(views._replace(images=images, matrix=matrix, extent=extent))
    rows = [(0.125, 0.25), (0.125, 0.75), (0.375, 0.25), (0.375, 0.75)]
    expected = torch.tensor([[*row, 0.5] for row in rows])
    torch.testing.assert_close(found.places_a[0], expected)
    torch.testing.assert_close(found.places_b[0], expected[[2, 3, 0, 1]])


def test_a_weight_that_messages_need_has_a_gradient_and_projector_and_messages_are_thrown_away():
    method = made(objective=SecondOrderMatching(scale=1.0))
    torch.manual_seed(0)
    method(views_of()).total.backward()
    assert [n for n, p in method.named_parameters() if p.grad is None] == []
    assert [*method.exports()] == ["encoder"]


@pytest.mark.long
def test_it_learns_to_tell_items_apart():
    """Of noisy copies of sixteen blobs; chance is wrong fifteen times in sixteen."""
    generator = torch.Generator().manual_seed(0)
    axes = torch.stack(torch.meshgrid(*[torch.arange(12.0)] * 3, indexing="ij"), dim=-1)
    centers = 2 + 8 * torch.rand(16, 3, 1, 1, 1, 3, generator=generator)
    widths = 1 + 1.5 * torch.rand(16, 3, 1, 1, 1, generator=generator)
    apart = (axes - centers).square().sum(dim=-1)
    blobs = (-apart / (2 * widths.square())).exp().sum(dim=1)[:, None]
    torch.manual_seed(0)
    encoder = UNet(channels=(8, 16, 32))
    method = GraphMatching(
        encoder, objective=SecondOrderMatching(scale=0.05), projection_dim=32, grid=2
    )
    optimizer = torch.optim.Adam(method.parameters(), lr=2e-3)
    zeros, items = torch.zeros(16, dtype=torch.long), torch.arange(16)
    wrong = []
    for _ in range(100):
        images = blobs + 0.2 * torch.randn(2, *blobs.shape, generator=generator)
        loss = method(Views(images, items, zeros, items, *unmoved(images)))
        optimizer.zero_grad()
        loss.total.backward()
        optimizer.step()
        wrong.append(1 - loss.notes["node_accuracy"].item())
    assert sum(wrong[:10]) / 10 > 0.7
    assert sum(wrong[-20:]) / 20 < 0.2


@pytest.mark.parametrize(
    ("options", "message"),
    [({"graph_size": 2}, "at least 3 nodes"), ({"neighbors": 0}, "a neighbor each")],
)
def test_graphs_without_edges_to_match_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        made(**options)
    with pytest.raises(ValueError, match="a batch of at least 3 items, got 2"):
        made()(views_of(2))
