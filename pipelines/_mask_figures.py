"""Figures of images with the outlines of classes on them."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Integer
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

COLORS = ("tab:cyan", "tab:orange", "tab:pink", "tab:green", "tab:red", "tab:purple")
GRAY_PERCENTILES = (1, 99)

STYLES = ("solid", "dashed")


class Plane(NamedTuple):
    """A plane of an image.

    Args:
        image: Intensities.
        masks: Class numbers, outlined in solid lines; where there are two, the second in dashes.
        aspect: How long a voxel is along the second axis, in voxels of the first.
    """

    image: Float[np.ndarray, "i j"]
    masks: tuple[Integer[np.ndarray, "i j"], ...]
    aspect: float = 1.0


def draw_planes(
    rows: Sequence[Sequence[Plane]], path: Path, *, class_names: Sequence[str], title: str = ""
) -> None:
    """Draw planes of images with their labels outlined.

    Args:
        rows: Of the figure, each of as many planes.
        path: Where the figure goes.
        class_names: Of the classes from 1 on.
        title: Over the figure.
    """
    num_columns = len(rows[0])
    figure = Figure(figsize=(2.4 * num_columns, 2.4 * len(rows) + 0.6), layout="constrained")
    grid = figure.subplots(len(rows), num_columns, squeeze=False)
    for axes_row, row in zip(grid, rows, strict=True):
        for axes, plane in zip(axes_row, row, strict=True):
            _draw(axes, plane, len(class_names))
    lines = [Line2D([], [], color=_color(n)) for n in range(1, len(class_names) + 1)]
    figure.legend(lines, class_names, loc="outside lower center", ncols=4, fontsize=8)
    figure.suptitle(title, fontsize=9)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=100)


def three_planes(
    image: Float[np.ndarray, "i j k"],
    masks: tuple[Integer[np.ndarray, "i j k"], ...],
    spacing_mm: Sequence[float],
) -> list[Plane]:
    """Return a plane across each axis, through the middle of the first mask that holds a class."""
    labeled = next((np.argwhere(mask) for mask in masks if mask.any()), None)
    center = np.array(image.shape) // 2 if labeled is None else labeled.mean(axis=0).round()
    planes = []
    for axis, at in enumerate(center.astype(int)):
        first, second = (mm for other, mm in enumerate(spacing_mm) if other != axis)
        cut = tuple(mask.take(at, axis) for mask in masks)
        planes.append(Plane(image.take(at, axis), cut, float(second / first)))
    return planes


def middle_planes(
    images: Float[np.ndarray, "item *spatial"], labels: Integer[np.ndarray, "item *spatial"]
) -> list[Plane]:
    """Return of each item the plane across the last of three axes that has most labels."""
    planes = []
    for image, label in zip(images, labels, strict=True):
        if image.ndim == 3:
            best = int(np.count_nonzero(label, axis=(0, 1)).argmax())
            image, label = image[..., best], label[..., best]
        planes.append(Plane(image, (label,)))
    return planes


def _draw(axes: Axes, plane: Plane, num_classes: int) -> None:
    low, high = np.percentile(plane.image, GRAY_PERCENTILES)
    # The first axis to columns and the second to rows, upwards.
    axes.imshow(
        plane.image.T, cmap="gray", vmin=low, vmax=high, origin="lower", aspect=plane.aspect
    )
    for mask, style in zip(plane.masks, STYLES, strict=False):
        for number in range(1, num_classes + 1):
            inside = (mask == number).T
            if inside.any() and not inside.all():
                axes.contour(
                    inside, levels=[0.5], colors=_color(number), linestyles=style, linewidths=0.8
                )
    axes.set_axis_off()


def _color(number: int) -> str:
    return COLORS[(number - 1) % len(COLORS)]
