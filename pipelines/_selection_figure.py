"""What a selection did, as a figure: numbers only, no images."""

from pathlib import Path

import numpy as np
from jaxtyping import Float
from matplotlib.figure import Figure


def draw_selection(
    similarity: Float[np.ndarray, "dropped"], kept_share: Float[np.ndarray, "case"], path: Path
) -> None:
    """Draw how alike dropped rows are to what stands for them, and what is left of each case.

    Args:
        similarity: Of each row that was dropped in favor of another.
        kept_share: Of each case's rows; NaN for cases that were not decided on.
        path: Where the figure goes.
    """
    figure = Figure(figsize=(9, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    if len(similarity):
        left.hist(similarity, bins=32)
    left.set_xlabel("similarity to what stands for it")
    left.set_ylabel("rows dropped")
    left.set_title(f"{len(similarity)} rows dropped in favor of others")
    decided = kept_share[~np.isnan(kept_share)]
    right.hist(decided, bins=np.linspace(0, 1, 21).tolist())
    right.set_xlabel("share of its rows that a case keeps")
    right.set_ylabel("cases")
    right.set_title(f"{(decided > 0).sum()} of {len(decided)} cases keep something")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=100)
