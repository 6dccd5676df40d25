"""Figures of images under a map of numbers."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float
from matplotlib.figure import Figure

GRAY_PERCENTILES = (1, 99)
LARGEST_OPACITY = 0.6


def draw_heat(
    image: Float[np.ndarray, "i j k"],
    heat: Float[np.ndarray, "i j k"],
    spacing_mm: Sequence[float],
    path: Path,
    *,
    title: str,
) -> None:
    """Draw three planes through where a map is largest: alone, and under the map.

    Args:
        image: Intensities, axes in RAS+.
        heat: The map, not negative; the more of it, the less is seen of the image.
        spacing_mm: Of the voxels.
        path: Where the figure goes.
        title: Over the figure.
    """
    center = np.unravel_index(int(heat.argmax()), heat.shape)
    low, high = np.percentile(image, GRAY_PERCENTILES)
    largest = float(heat.max()) or 1.0
    figure = Figure(figsize=(7.8, 5.2), layout="constrained")
    grid = figure.subplots(2, 3)
    for axis, column in enumerate(grid.T):
        across, along = (mm for other, mm in enumerate(spacing_mm) if other != axis)
        under, over = (volume.take(int(center[axis]), axis).T for volume in (image, heat))
        for plot in column:
            plot.imshow(
                under, cmap="gray", vmin=low, vmax=high, origin="lower", aspect=along / across
            )
            plot.set_axis_off()
        shown = column[1].imshow(
            over,
            cmap="inferno",
            vmin=0,
            vmax=largest,
            alpha=LARGEST_OPACITY * over / largest,
            origin="lower",
            aspect=along / across,
        )
    figure.colorbar(shown, ax=grid[1], shrink=0.8, label="salient score")
    figure.suptitle(title, fontsize=9)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=100)
