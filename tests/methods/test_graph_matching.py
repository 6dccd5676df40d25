from functools import partial
from itertools import product

import pytest
import torch
from torch import nn
from unmoved import unmoved

from medssl.data.views import Views
from medssl.methods.graph_matching import GraphMatching
from medssl.models.encoders.res_unet import ResUNet
from medssl.models.encoders.seg_res_net import SegResNet
from medssl.models.encoders.timm import Timm
from medssl.models.encoders.unet import UNet
from medssl.models.message_passing import nearest_neighbors
from medssl.objectives import Loss
from medssl.objectives.second_order_matching import SecondOrderMatching


def made(dims=2, **options):
    torch.manual_seed(0)
    encoder = UNet(channels=(4, 8), spatial_dims=dims)
    objective = options.pop("objective", SecondOrderMatching())
    return GraphMatching(encoder, objective=objective, **{"projection_dim": 6} | options)


class Seeing(nn.Module):
    """An encoder whose map is the image."""

    channels, strides = (1,), (1,)

    def __init__(self, spatial_dims):
        super().__init__()
        self.spatial_dims = spatial_dims

    def forward(self, image):
        return (image,)


def views_of(items=8, dims=2, seed=0, side=8):
    generator = torch.Generator().manual_seed(seed)
    images = torch.randn(2, items, 1, *(side,) * dims, generator=generator)
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


@pytest.mark.parametrize(("sides", "grid"), [((8, 12), 4), ((4, 6, 8), 2)], ids=["2-D", "3-D"])
def test_the_cell_that_answers_to_a_light_lies_where_the_light_is_mirrored_or_not(sides, grid):
    """Each item has light in one cell of the grid; the second view is mirrored, axis by axis."""
    dims = len(sides)
    cells = list(product(range(grid), repeat=dims))
    items = torch.arange(len(cells))
    where = torch.tensor([[(c + 0.5) / grid for c in cell] + [0.5] * (3 - dims) for cell in cells])
    method = GraphMatching(
        Seeing(dims), objective=SecondOrderMatching(), grid=grid, projection_dim=6
    )
    for axis in range(dims):
        images = torch.zeros(2, len(cells), 1, *sides)
        for item, cell in enumerate(cells):
            lengths = [side // grid for side in sides]
            block = [slice(c * n, (c + 1) * n) for c, n in zip(cell, lengths, strict=True)]
            images[(0, item, 0, *block)] = 1
        images[1] = images[0].flip(2 + axis)
        matrix, *rest = unmoved(images)
        matrix[1, :, axis, axis], matrix[1, :, axis, -1] = -1, sides[axis] - 1
        found = method.embed(Views(images, items, 0 * items, items, matrix, *rest))
        lit = [maps[..., 0].argmax(dim=1) for maps in (found.maps_a, found.maps_b)]
        assert (lit[0] != lit[1]).all()
        for places, cell in zip((found.places_a, found.places_b), lit, strict=True):
            torch.testing.assert_close(places[items, cell], where)


def test_what_items_are_called_changes_the_gradient_of_no_weight():
    views = views_of()
    order = torch.randperm(8, generator=torch.Generator().manual_seed(1))
    of_views, of_items = ("images", "matrix", "bend"), ("volume", "part", "subject", "extent")
    renamed = views._replace(
        **{name: getattr(views, name)[:, order] for name in of_views},
        **{name: getattr(views, name)[order] for name in of_items},
    )

    def pulled(views):
        method = made(objective=SecondOrderMatching(scale=0.0, kicks=400)).double()
        loss = method(views._replace(images=views.images.double()))
        loss.total.backward()
        return loss, [weight.grad for weight in method.parameters()]

    (before, gradients), (after, gradients_after) = pulled(views), pulled(renamed)
    assert before.notes["hamming"] > 0
    torch.testing.assert_close(after.notes["hamming"], before.notes["hamming"])
    torch.testing.assert_close(after.total, before.total)
    for one, other in zip(gradients, gradients_after, strict=True):
        assert one.any()
        torch.testing.assert_close(other, one)


@pytest.mark.parametrize(
    ("encoder", "dims", "side"),
    [
        (partial(Timm, architecture="vit_tiny_patch16_224"), 2, 32),
        (partial(Timm, architecture="resnet18"), 2, 32),
        (partial(SegResNet, width=8, depths=(1, 1)), 2, 8),
        (partial(SegResNet, width=8, depths=(1, 1)), 3, 8),
        (partial(ResUNet, channels=(4, 8), depths=(1, 2)), 2, 8),
        (partial(ResUNet, channels=(4, 8), depths=(1, 2)), 3, 8),
    ],
    ids=["ViT", "ResNet", "SegResNet 2-D", "SegResNet 3-D", "ResEnc 2-D", "ResEnc 3-D"],
)
def test_every_weight_of_an_encoder_is_pulled(encoder, dims, side):
    torch.manual_seed(0)
    method = GraphMatching(
        encoder(spatial_dims=dims), objective=SecondOrderMatching(scale=1.0), projection_dim=6
    )
    optimizer = torch.optim.Adam(method.parameters(), lr=1e-3)
    # a residual branch of timm's begins at zero, which the first step ends
    for _ in range(2):
        optimizer.zero_grad()
        loss = method(views_of(8, dims, side=side))
        loss.total.backward()
        optimizer.step()
    assert loss.total.isfinite()
    assert [n for n, p in method.named_parameters() if p.grad is None or not p.grad.any()] == []


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
    [
        ({"graph_size": 2}, "at least 3 nodes"),
        ({"neighbors": 0}, "a neighbor each"),
        ({"layers": -1}, "layers from 0 on, got 16, 5 and -1"),
    ],
)
def test_graphs_without_edges_to_match_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        made(**options)
    with pytest.raises(ValueError, match="a batch of at least 3 items, got 2"):
        made()(views_of(2))


def test_a_view_alone_is_not_compared():
    views = views_of()
    with pytest.raises(ValueError, match="compares 2 views of each item, got 1"):
        made()(views._replace(images=views.images[:1]))
