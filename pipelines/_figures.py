"""Figures of a training run."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

Curves = Mapping[str, tuple[Sequence[int], Sequence[float]]]


def draw_curves(curves: Curves, path: Path, *, title: str) -> None:
    """Draw each curve over the steps."""
    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.add_subplot()
    for name, (steps, values) in curves.items():
        axes.plot(steps, values, label=name, linewidth=1)
    axes.set_xlabel("step")
    axes.set_title(title)
    axes.legend()
    _save(figure, path)


def draw_views(images: np.ndarray, path: Path) -> None:
    """Draw the middle slice of each view, a row an item and a column a view.

    Args:
        images: Item, view and two or three spatial axes.
        path: Where the figure goes.
    """
    if images.ndim == 5:
        images = images[..., images.shape[-1] // 2]
    num_items, num_views = images.shape[:2]
    figure = Figure(figsize=(2 * num_views, 2 * num_items), layout="constrained")
    grid = figure.subplots(num_items, num_views, squeeze=False)
    for row, views in zip(grid, images, strict=True):
        low, high = float(views.min()), float(views.max())
        for axes, view in zip(row, views, strict=True):
            # (i, j) to columns and rows, anterior and the patient's head up
            axes.imshow(view.T, cmap="gray", vmin=low, vmax=high, origin="lower")
            axes.set_axis_off()
    _save(figure, path)


def _save(figure: Figure, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=100)
