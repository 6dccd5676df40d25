"""Figures of an evaluation: how arms compare."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int
from matplotlib.figure import Figure

from medssl.evaluation.bootstrap import Interval


def arms(
    path: Path,
    *,
    scores: Mapping[str, Mapping[str, Interval]],
    metric: str,
    title: str,
    along: str = "",
    benchmark: float | None = None,
) -> None:
    """Draw each arm's means with their intervals, over the settings that were compared.

    Args:
        path: The PNG to write.
        scores: By arm, and in it by setting.
        metric: What is measured.
        title: Over the figure.
        along: What the settings are.
        benchmark: A mean that the others are held against, as a line.
    """
    figure = Figure(figsize=(6, 4), layout="constrained")
    plot = figure.subplots()
    settings = list(dict.fromkeys(s for of_arm in scores.values() for s in of_arm))
    for number, (arm, of_arm) in enumerate(scores.items()):
        shift = 0.08 * (number - (len(scores) - 1) / 2)
        places = [settings.index(setting) + shift for setting in of_arm]
        means = np.array([value.mean for value in of_arm.values()])
        bounds = np.array([(value.low, value.high) for value in of_arm.values()]).T
        plot.errorbar(places, means, np.abs(bounds - means), fmt="o-", capsize=3, label=arm)
    if benchmark is not None:
        plot.axhline(benchmark, color="0.5", linestyle="--", label="benchmark")
    plot.set_xticks(range(len(settings)), settings)
    plot.set_xlabel(along)
    plot.set_ylabel(metric)
    plot.set_title(title, fontsize=9)
    plot.grid(axis="y", alpha=0.3)
    plot.legend(loc="lower right")
    figure.savefig(path, dpi=120)


@dataclass(frozen=True)
class Dots:
    """One panel: points with intervals, lines to compare them with, and where chance is."""

    points: Mapping[str, Interval]
    lines: Mapping[str, float]
    chance: float


def dots(path: Path, *, panels: Mapping[str, Dots], title: str) -> None:
    """Draw panels side by side: a row a point, a vertical line a number to compare with.

    Args:
        path: The PNG to write.
        panels: By what stands over each.
        title: Over the figure.
    """
    rows = list(dict.fromkeys(name for panel in panels.values() for name in panel.points))
    size = (1.5 + 2.6 * len(panels), 1.8 + 0.3 * len(rows))
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    for plot, (name, panel) in zip(axes, panels.items(), strict=True):
        for row, point in ((rows.index(name), point) for name, point in panel.points.items()):
            plot.plot([point.low, point.high], [row, row], color="0.3")
            plot.plot(point.mean, row, "o", color="0.1")
        for number, (line, value) in enumerate(panel.lines.items()):
            plot.axvline(value, color=f"C{number}", linestyle="--", label=line)
        plot.axvline(panel.chance, color="0.6", linestyle=":")
        plot.set_title(name, fontsize=9)
        plot.grid(axis="x", alpha=0.3)
    axes[0].set_yticks(range(len(rows)), rows)
    axes[0].set_ylim(len(rows) - 0.5, -0.5)
    handles, labels = axes[0].get_legend_handles_labels()
    if labels:
        figure.legend(handles, labels, loc="outside lower center", ncols=len(labels))
    figure.suptitle(title, fontsize=9)
    figure.savefig(path, dpi=120)


@dataclass(frozen=True)
class Points:
    """One panel: points of a plane, each of a class or of none.

    Args:
        places: Where they are.
        label: The number of each one's class, -1 for none.
        classes: What the classes are called.
    """

    places: Float[np.ndarray, "point 2"]
    label: Int[np.ndarray, "point"]
    classes: tuple[str, ...]


def clouds(path: Path, *, rows: Mapping[str, Mapping[str, Points]], title: str) -> None:
    """Draw points of several planes, a column a plane, a row a way to color them.

    Args:
        path: The PNG to write.
        rows: By what they are colored by; in it by plane.
        title: Over the figure.
    """
    planes = list(next(iter(rows.values())))
    size = (1.6 + 3.2 * len(planes), 0.6 + 3.2 * len(rows))
    figure = Figure(figsize=size, layout="constrained")
    grid = figure.subplots(len(rows), len(planes), squeeze=False)
    for line, (name, panels) in zip(grid, rows.items(), strict=True):
        for plot, (plane, points) in zip(line, panels.items(), strict=True):
            none = points.label < 0
            plot.scatter(*points.places[none].T, s=6, color="0.85", label="others")
            for number, called in enumerate(points.classes):
                own = points.label == number
                color = f"C{number % 10}"
                plot.scatter(*points.places[own].T, s=8, color=color, label=called)
            plot.set_title(f"{plane} code, by {name}", fontsize=9)
            plot.set_xticks([])
            plot.set_yticks([])
        line[-1].legend(fontsize=7, loc="center left", bbox_to_anchor=(1, 0.5), markerscale=2)
    figure.suptitle(title, fontsize=9)
    figure.savefig(path, dpi=120)
