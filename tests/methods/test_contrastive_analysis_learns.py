"""What both groups have and what only targets have must part: shapes, in targets colored."""

from typing import NamedTuple

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812
from unmoved import unmoved

from medssl.data.views import GroupedViews, Views
from medssl.methods.contrastive_analysis import ContrastiveAnalysis
from medssl.models.encoders.small_conv import SmallConv
from medssl.objectives.sep_clr import SepCLR

NUM_SHAPES, NUM_COLORS, SIDE = 3, 3, 20


class Drawn(NamedTuple):
    """Pictures of a background, whose shapes are grey, and of as many targets."""

    images: Tensor
    shape: Tensor
    color: Tensor  # of targets; the background has none
    is_target: Tensor


def drawn(count, seed):
    """Return disks, squares and crosses of one area, somewhere, of some brightness."""
    generator = torch.Generator().manual_seed(seed)
    shape = torch.randint(NUM_SHAPES, (count,), generator=generator)
    color = torch.randint(NUM_COLORS, (count,), generator=generator)
    is_target = torch.arange(count) % 2 == 1
    center = SIDE / 2 + 1.5 * torch.randn(count, 2, 1, 1, generator=generator)
    voxel = torch.stack(torch.meshgrid(torch.arange(SIDE), torch.arange(SIDE), indexing="ij"))
    i, j = (voxel - center).abs().unbind(1)
    inside = torch.stack(
        [
            (i.square() + j.square()).sqrt() - 5.0,
            torch.maximum(i, j) - 4.4,
            torch.minimum(torch.maximum(i - 1.7, j - 7.0), torch.maximum(j - 1.7, i - 7.0)),
        ]
    )[shape, torch.arange(count)].neg()
    bright = 0.7 + 0.6 * torch.rand(count, 1, 1, 1, generator=generator)
    tint = torch.where(is_target[:, None], 0.4 + 0.6 * F.one_hot(color, 3), 0.6)
    images = bright * tint[:, :, None, None] * inside.sigmoid()[:, None]
    return Drawn(images, shape, color, is_target)


def augmented(images, generator):
    one = (len(images), 1, 1, 1)
    gain = 0.8 + 0.4 * torch.rand(one, generator=generator)
    shift = torch.randint(-1, 2, (2,), generator=generator).tolist()
    return gain * images.roll(shift, (2, 3)) + 0.1 * torch.randn(images.shape, generator=generator)


def pretrained(num_steps):
    torch.manual_seed(0)
    objective = SepCLR(uniform=0.1, salient=10.0, background=10.0, joint_entropy=100.0)
    encoder = SmallConv(in_channels=3, width=8, spatial_dims=2)
    method = ContrastiveAnalysis(encoder, objective=objective, common_dim=4, salient_dim=4)
    optimizer = torch.optim.Adam(method.parameters(), lr=1e-3)
    generator = torch.Generator().manual_seed(0)
    known = torch.zeros(128, 0), torch.zeros(0, dtype=torch.bool)
    for step in range(num_steps):
        batch, rows = drawn(128, seed=1000 + step), torch.arange(128)
        views = torch.stack([augmented(batch.images, generator) for _ in range(2)])
        items = Views(views, rows, torch.zeros_like(rows), rows, *unmoved(views))
        optimizer.zero_grad()
        method(GroupedViews(items, batch.is_target, *known)).total.backward()
        optimizer.step()
    return method.codes()


@torch.no_grad()
def probed(codes):
    """Return how often a ridge regression on either code finds shape and color of new targets."""
    sets = [drawn(1200, seed) for seed in (1, 2)]
    found = {}
    for name, code in (("common", codes.common), ("salient", codes.salient)):
        rows = [
            F.pad(code(codes.pooled(one.images)[name == "salient"])[one.is_target], (0, 1), value=1)
            for one in sets
        ]
        for factor in ("shape", "color"):
            own = [getattr(one, factor)[one.is_target] for one in sets]
            fitted = torch.linalg.lstsq(rows[0], F.one_hot(own[0]).float()).solution
            right = (rows[1] @ fitted).argmax(dim=1) == own[1]
            found[factor, name] = right.float().mean().item()
    return found


@pytest.mark.long
def test_color_is_in_the_salient_code_and_not_in_the_common_one():
    found = probed(pretrained(num_steps=150))
    assert found["color", "salient"] >= 0.9, found
    assert found["color", "common"] <= 1 / NUM_COLORS + 0.1, found
    assert found["shape", "common"] > found["shape", "salient"], found
