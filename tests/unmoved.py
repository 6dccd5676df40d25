"""Where views lie that are their cases."""

import torch


def unmoved(images):
    """The matrix, bend and extent of views (view, item, channel, *spatial) that are their cases."""
    dims = images.ndim - 3
    matrix = torch.eye(3)[:, :dims]
    matrix = torch.cat([matrix, torch.zeros(3, 1)], dim=1).expand(*images.shape[:2], 3, dims + 1)
    extent = torch.tensor([*images.shape[3:], 1][:3]).repeat(images.shape[1], 1)
    bend = torch.zeros(*images.shape[:2], dims, *(0 for _ in range(dims)))
    return matrix.contiguous(), bend, extent
