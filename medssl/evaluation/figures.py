"""Figures of an evaluation: how arms compare."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from medssl.evaluation.bootstrap import Interval


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
