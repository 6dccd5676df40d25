"""What a selection did, as figures of numbers: no images."""

from pathlib import Path

import numpy as np
import pyarrow as pa
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pipelines._reasons import REPRESENTED
from pipelines._selecting import Decision

BARS = 12  # of a column; the rest of its values is in the table
BINS = np.linspace(0, 1, 41).tolist()


def draw_selection(decision: Decision, kept_share: Float[np.ndarray, "case"], path: Path) -> None:
    """Draw how alike pairs are, what is left of each case, and how the selector got there.

    Args:
        decision: What was decided.
        kept_share: Of each case's rows; NaN for cases that were not decided on.
        path: Where the figure goes.
    """
    panels = 2 + len(decision.curves)
    figure = Figure(figsize=(4.5 * panels, 4), layout="constrained")
    alike, shares, *curves = figure.subplots(1, panels)
    _draw_alike(alike, decision)
    decided = kept_share[~np.isnan(kept_share)]
    shares.hist(decided, bins=BINS[::2])
    shares.set_xlabel("share of its rows that a case keeps")
    shares.set_ylabel("cases")
    shares.set_title(f"{(decided > 0).sum()} of {len(decided)} cases keep something")
    for axes, (name, curve) in zip(curves, decision.curves.items(), strict=True):
        axes.plot(np.arange(1, len(curve) + 1), curve, marker="." if len(curve) < 50 else "")
        axes.set_xlabel("turn")
        axes.set_title(name)
    _save(figure, path)


def _draw_alike(axes: Axes, decision: Decision) -> None:
    dropped = decision.similarity[decision.reason == REPRESENTED]
    if len(decision.in_scope):
        # Shares, so that a sample of pairs and all dropped rows can be seen at one scale.
        weights = np.full(len(decision.in_scope), 1 / len(decision.in_scope))
        axes.hist(decision.in_scope, bins=BINS, weights=weights, alpha=0.5, label="pairs in scope")
    if len(dropped):
        weights = np.full(len(dropped), 1 / len(dropped))
        label = "dropped and its exemplar"
        axes.hist(dropped, bins=BINS, weights=weights, histtype="step", label=label)
    if len(dropped) or len(decision.in_scope):
        axes.legend(loc="upper right")
    axes.set_xlabel("similarity")
    axes.set_ylabel("share")
    axes.set_title(f"{len(dropped)} rows dropped in favor of others")


def draw_kept_by(kept_by: pa.Table, path: Path) -> None:
    """Draw how much is left of each value of what cases have in common, the largest first."""
    columns = kept_by["column"].to_pylist()
    names = list(dict.fromkeys(columns))
    if not names:
        return
    figure = Figure(figsize=(4.5 * len(names), 4), layout="constrained")
    for axes, name in zip(figure.subplots(1, len(names), squeeze=False)[0], names, strict=True):
        rows = [row for row in kept_by.to_pylist() if row["column"] == name][:BARS]
        places = np.arange(len(rows))
        axes.barh(places, [row["kept_share"] for row in rows])
        labels = [f"{row['value'] or 'unknown'} ({row['rows']})" for row in rows]
        axes.set_yticks(places, labels, fontsize=8)
        axes.invert_yaxis()
        axes.set_xlim(0, 1)
        axes.set_xlabel("share that is left")
        axes.set_title(name)
    _save(figure, path)


def _save(figure: Figure, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=100)
