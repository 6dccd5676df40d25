"""The heads that pretraining puts on an encoder or decoder and throws away after.

Source of the global and local ones: Chaitanya et al., "Contrastive learning of global and local
features for medical image segmentation with limited annotations", NeurIPS 2020, arXiv:2006.10511.
Departs from the paper: the global head sees the mean of each cell of a coarse grid instead of
every voxel of the map, which would cost tens of millions of weights in 3-D (with a grid as large as
the map, every voxel); the local head normalizes each item alone unless told to over the batch.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

CONVOLUTION = {2: nn.Conv2d, 3: nn.Conv3d}
BATCH_NORM = {2: nn.BatchNorm2d, 3: nn.BatchNorm3d}


def mlp(in_dim: int, hidden_dim: int, out_dim: int) -> nn.Sequential:
    """Return Linear-LayerNorm-ReLU-Linear: SimCLR's projector without batch statistics."""
    return nn.Sequential(
        nn.Linear(in_dim, hidden_dim),
        nn.LayerNorm(hidden_dim),
        nn.ReLU(),
        nn.Linear(hidden_dim, out_dim),
    )


class GlobalProjector(nn.Module):
    """Map to vector; where in the map something lies is kept, up to a grid's cell.

    Args:
        channels: Channels of the map.
        spatial_dims: 2 or 3.
        grid: Cells along each axis.
        hidden_dim: Width of the hidden layer.
        out_dim: Length of a projection.
    """

    def __init__(
        self, channels: int, spatial_dims: int, *, grid: int, hidden_dim: int, out_dim: int
    ) -> None:
        super().__init__()
        self.grid = grid
        self.layers = nn.Sequential(
            nn.Linear(channels * grid**spatial_dims, hidden_dim, bias=False),
            nn.ReLU(),
            nn.Linear(hidden_dim, out_dim, bias=False),
        )

    def forward(
        self, feature: Float[Tensor, "item channel *spatial"]
    ) -> Float[Tensor, "item projection"]:
        """Return a projection an item."""
        return self.layers(grid_means(feature, self.grid).flatten(1))


class LocalProjector(nn.Module):
    """Two 1x1 convolutions, then each region's window to a vector.

    A window of one voxel is its own vector; a larger one goes through one more linear layer.

    Args:
        channels: Channels of the map.
        spatial_dims: 2 or 3.
        window_vox: Side of a region.
        out_dim: Length of a projection, where the window is larger than a voxel.
        over_batch: Whether channels are normalized over the batch, as in the paper.
    """

    def __init__(
        self,
        channels: int,
        spatial_dims: int,
        *,
        window_vox: int,
        out_dim: int,
        over_batch: bool = False,
    ) -> None:
        super().__init__()
        convolution = CONVOLUTION[spatial_dims]
        self.window_vox = window_vox
        self.layers = nn.Sequential(
            convolution(channels, channels, 1, bias=False),
            BATCH_NORM[spatial_dims](channels) if over_batch else nn.GroupNorm(1, channels),
            nn.ReLU(),
            convolution(channels, channels, 1, bias=False),
        )
        volume = window_vox**spatial_dims
        self.join = nn.Linear(volume * channels, out_dim, bias=False) if volume > 1 else None

    def forward(
        self, feature: Float[Tensor, "item channel *spatial"], starts: Int[Tensor, "region axis"]
    ) -> Float[Tensor, "item region projection"]:
        """Return a projection for each region that begins at a voxel of `starts`."""
        cut = windows(self.layers(feature), starts, self.window_vox).flatten(2)
        return cut if self.join is None else self.join(cut)


def grid_means(
    feature: Float[Tensor, "item channel *spatial"], grid: int
) -> Float[Tensor, "item channel *cell"]:
    """Return the mean of each cell of a grid: adaptive average pooling, with a fixed order of sums.

    PyTorch's own adds up gradients in no fixed order on a GPU.
    """
    cell = torch.arange(grid, device=feature.device)
    for axis, length in enumerate(feature.shape[2:], start=2):
        voxel = torch.arange(length, device=feature.device)
        first = (cell * length // grid)[:, None]
        behind = ((cell + 1) * length + grid - 1).div(grid, rounding_mode="floor")[:, None]
        share = ((voxel >= first) & (voxel < behind)).to(feature.dtype) / (behind - first)
        feature = (feature.movedim(axis, -1) @ share.to(feature.dtype).T).movedim(-1, axis)
    return feature


def windows(
    feature: Float[Tensor, "item channel *spatial"], starts: Int[Tensor, "region axis"], side: int
) -> Float[Tensor, "item region channel voxel"]:
    """Return the cubes (in 2-D squares) of a map that begin at these voxels, voxels in C order."""
    shape = feature.shape[2:]
    step = torch.arange(side, device=feature.device)
    index = torch.zeros(len(starts), 1, dtype=torch.long, device=feature.device)
    for axis, length in enumerate(shape):
        along = starts[:, axis, None] + step
        index = (index[:, :, None] * length + along[:, None, :]).flatten(1)
    return feature.flatten(2)[:, :, index].movedim(1, 2)
