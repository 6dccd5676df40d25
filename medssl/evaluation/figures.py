"""Figures of an evaluation: where prediction and reference part, and how arms compare."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float, Integer
from matplotlib.figure import Figure

from medssl.evaluation.bootstrap import Interval

COLORS = ("tab:cyan", "tab:orange", "tab:pink", "tab:green", "tab:red", "tab:purple")
GRAY_PERCENTILES = (1, 99)


def overlay(
    path: Path,
    *,
    image: Float[np.ndarray, "i j k"],
    reference: Integer[np.ndarray, "i j k"],
    prediction: Integer[np.ndarray, "i j k"],
    class_names: Sequence[str],
    title: str,
) -> None:
    """Draw three planes through the middle of the reference, in RAS+ order of axes.

    Lines are the reference, dashes the prediction; a color a class.
    """
    labeled = np.argwhere(reference if reference.any() else prediction)
    center = (
        labeled.mean(axis=0).round().astype(int) if len(labeled) else np.array(image.shape) // 2
    )
    low, high = np.percentile(image, GRAY_PERCENTILES)
    figure = Figure(figsize=(9, 3.4), layout="constrained")
    for axis, (plot, name) in enumerate(
        zip(figure.subplots(1, 3), ("sagittal", "coronal", "axial"), strict=True)
    ):
        planes = [np.take(a, center[axis], axis=axis).T for a in (image, reference, prediction)]
        plot.imshow(planes[0], cmap="gray", vmin=low, vmax=high, origin="lower")
        for number in range(1, len(class_names) + 1):
            color = COLORS[(number - 1) % len(COLORS)]
            for plane, style in ((planes[1], "solid"), (planes[2], "dashed")):
                mask = plane == number
                if mask.any() and not mask.all():
                    plot.contour(mask, levels=[0.5], colors=color, linestyles=style, linewidths=1)
        plot.set_title(name, fontsize=8)
        plot.axis("off")
    legend = ", ".join(
        f"{name}: {COLORS[n % len(COLORS)].removeprefix('tab:')}"
        for n, name in enumerate(class_names)
    )
    figure.suptitle(f"{title}\nsolid: reference, dashed: prediction ({legend})", fontsize=8)
    figure.savefig(path, dpi=120)


def arms(
    path: Path,
    *,
    scores: Mapping[str, Mapping[str, Interval]],
    metric: str,
    title: str,
) -> None:
    """Draw each arm's means with their intervals, over the settings that were compared.

    Args:
        path: The PNG to write.
        scores: By arm, and in it by setting.
        metric: What is measured.
        title: Over the figure.
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
    plot.set_xticks(range(len(settings)), settings)
    plot.set_ylabel(metric)
    plot.set_title(title, fontsize=9)
    plot.grid(axis="y", alpha=0.3)
    plot.legend()
    figure.savefig(path, dpi=120)
