"""The figure of a scaling curve: seconds and memory over the number of files."""

import statistics
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pipelines.benches._scaling import PARTS, Point


def draw_scaling(points: Sequence[Point], path: Path) -> None:
    """Draw the median of each part at each size, with all repetitions behind it."""
    figure = Figure(figsize=(9, 4), layout="constrained")
    time_axes, memory_axes = figure.subplots(1, 2)
    _draw(time_axes, points, lambda point: point.wall_s)
    time_axes.set(yscale="log", ylabel="seconds", title="time")
    _draw(memory_axes, points, lambda point: point.peak_bytes / 2**20)
    memory_axes.set(ylim=(0, None), ylabel="MiB, children included", title="peak memory")
    time_axes.legend(loc="upper left")
    figure.savefig(path, dpi=100)


def _draw(axes: Axes, points: Sequence[Point], value: Callable[[Point], float]) -> None:
    for part, words in PARTS.items():
        found: dict[int, list[float]] = defaultdict(list)
        for point in points:
            if point.part == part:
                found[point.num_files].append(value(point))
        if not found:
            continue
        medians = [statistics.median(values) for values in found.values()]
        (line,) = axes.plot(list(found), medians, marker="o", label=words)
        for size, values in found.items():
            axes.plot([size] * len(values), values, ".", color=line.get_color(), alpha=0.4)
    axes.set(xscale="log", xlabel="files")
