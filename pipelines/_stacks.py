"""Slices between their neighbors, as networks of stacks take them."""

import numpy as np
from jaxtyping import Float32


def stacked(
    voxels: Float32[np.ndarray, "channel i j k"], thickness: int
) -> Float32[np.ndarray, "stack i j k"]:
    """Return slices whose channels are they and their neighbors, zeros beyond the volume."""
    if thickness == 1:
        return voxels
    beyond = thickness // 2
    padded = np.pad(voxels, [(0, 0), (0, 0), (0, 0), (beyond, beyond)])
    neighbors = np.lib.stride_tricks.sliding_window_view(padded, thickness, axis=3)
    return np.moveaxis(neighbors, -1, 1).reshape(-1, *voxels.shape[1:])
