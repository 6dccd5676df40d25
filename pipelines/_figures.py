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
    axes.legend(loc="upper right")
    _save(figure, path)


def draw_views(views: Sequence[np.ndarray], path: Path) -> None:
    """Draw the middle slice of each view, a row an item and a column a view.

    Args:
        views: Of each view all items, with two or three spatial axes; they may differ in size.
        path: Where the figure goes.
    """
    planes = [view[..., view.shape[-1] // 2] if view.ndim == 4 else view for view in views]
    num_items, num_views = len(planes[0]), len(planes)
    figure = Figure(figsize=(2 * num_views, 2 * num_items), layout="constrained")
    grid = figure.subplots(num_items, num_views, squeeze=False)
    for row, item in zip(grid, zip(*planes, strict=True), strict=True):
        low, high = min(map(np.min, item)), max(map(np.max, item))
        for axes, plane in zip(row, item, strict=True):
            # (i, j) to columns and rows, anterior and the patient's head up
            axes.imshow(plane.T, cmap="gray", vmin=low, vmax=high, origin="lower")
            axes.set_axis_off()
    _save(figure, path)


def _save(figure: Figure, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=100)
