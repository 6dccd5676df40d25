"""Knowing the parts must help: synthetic slices whose one shape changes along the axis."""

import pytest
import torch
from torch.nn import functional as F  # noqa: N812
from unmoved import unmoved

from medssl.data.views import Views
from medssl.methods.global_local import GlobalLocal
from medssl.models.encoders.unet import UNet
from medssl.objectives.global_contrast import GlobalContrast

NUM_PARTS = 4


def slices(num_volumes, seed):
    """Return disks whose radius tells the part; place, gain, offset and texture tell the volume."""
    generator = torch.Generator().manual_seed(seed)
    part = torch.arange(NUM_PARTS).repeat(num_volumes)
    volume = torch.arange(num_volumes).repeat_interleave(NUM_PARTS)
    radius = 1.5 + 4.5 * (part + torch.rand(len(part), generator=generator)) / NUM_PARTS
    center = 7.5 + torch.randn(num_volumes, 2, 1, 1, generator=generator)[volume]
    gain = (0.4 + 1.2 * torch.rand(num_volumes, 1, 1, generator=generator))[volume]
    offset = torch.randn(num_volumes, 1, 1, generator=generator)[volume]
    texture = torch.randn(num_volumes, 16, 16, generator=generator)[volume]
    voxel = torch.stack(torch.meshgrid(torch.arange(16), torch.arange(16), indexing="ij"))
    inside = (radius[:, None, None] - (voxel - center).square().sum(dim=1).sqrt()).sigmoid()
    return (gain * inside + offset + 0.3 * texture)[:, None], volume, part


def augmented(images, generator):
    one = (len(images), 1, 1, 1)
    gain = 0.7 + 0.6 * torch.rand(one, generator=generator)
    offset = 0.3 * torch.randn(one, generator=generator)
    return images * gain + offset + 0.2 * torch.randn(images.shape, generator=generator)


def pretrained(variant, seed):
    torch.manual_seed(seed)
    encoder = UNet(channels=(8, 16, 32), spatial_dims=2)
    if variant is None:
        return encoder
    objective = GlobalContrast(variant=variant)
    method = GlobalLocal(encoder, global_objective=objective, hidden_dim=64, projection_dim=32)
    optimizer = torch.optim.Adam(method.parameters(), lr=1e-3)
    generator = torch.Generator().manual_seed(seed)
    for step in range(120):
        images, volume, part = slices(8, seed=1000 + step)
        views = torch.stack([images, augmented(images, generator)])
        optimizer.zero_grad()
        method(Views(views, volume, part, volume, *unmoved(views))).total.backward()
        optimizer.step()
    return encoder


@torch.no_grad()
def probed(encoder):
    """Return how often a ridge regression on the mean of the coarsest map finds the part."""
    rows, parts = [], []
    for seed in (1, 2):
        images, _, part = slices(200, seed)
        rows.append(F.pad(encoder(images)[-1].flatten(2).mean(2), (0, 1), value=1.0))
        parts.append(part)
    fitted = torch.linalg.solve(
        rows[0].T @ rows[0] + 1e-3 * torch.eye(rows[0].shape[1]),
        rows[0].T @ F.one_hot(parts[0], NUM_PARTS).float(),
    )
    return ((rows[1] @ fitted).argmax(dim=1) == parts[1]).float().mean().item()


@pytest.mark.long
def test_encoders_that_know_the_parts_see_them_best():
    found = {
        variant: probed(pretrained(variant, seed=0))
        for variant in (None, "random", "partition_pairs")
    }
    assert found["partition_pairs"] > found["random"] + 0.03 > found[None] + 0.06, found
