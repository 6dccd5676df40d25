"""Where views lie that are their cases."""

import torch


def unmoved(images):
    """The matrix and the bend of views (view, item, channel, *spatial) that begin at voxel 0."""
    dims = images.ndim - 3
    matrix = torch.eye(3)[:, :dims]
    matrix = torch.cat([matrix, torch.zeros(3, 1)], dim=1).expand(*images.shape[:2], 3, dims + 1)
    return matrix.contiguous(), torch.zeros(*images.shape[:2], dims, *(0 for _ in range(dims)))
