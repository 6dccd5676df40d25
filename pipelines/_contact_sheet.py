"""Pairs to look at: what a selection dropped, beside what stands for it."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Float32
from matplotlib.figure import Figure

from medssl.data.cache import open_cached
from medssl.data.manifest import Manifest

SHORT = 8  # letters of a case's id that are shown


def draw_contact_sheet(
    log: pa.Table, manifest: Manifest, root: Path, number: int, path: Path
) -> None:
    """Draw the dropped rows that are least like what stands for them, and those that are most.

    A slice is shown as it is, a volume by its middle slice.

    Args:
        log: The audit.
        manifest: Where the cases are.
        root: The folder that the manifest's paths start from.
        number: Pairs of each kind.
        path: Where the figure goes; there is none where nothing was dropped in favor of anything.
    """
    dropped = log.filter(pc.equal(log["reason"], "represented"))
    keys = [("similarity", "ascending"), ("case_id", "ascending"), ("slice", "ascending")]
    ranked = dropped.sort_by(keys)
    least = ranked.slice(0, number).to_pylist()
    most = ranked.slice(max(number, len(ranked) - number)).to_pylist()
    if not least:
        return
    places = {case: row for row, case in enumerate(manifest.table["case_id"].to_pylist())}
    pairs = [*least, *most]
    figure = Figure(figsize=(1.7 * len(pairs) + 0.5, 4), layout="constrained")
    axes = figure.subplots(2, len(pairs), squeeze=False)
    for column, row in enumerate(pairs):
        for line, (case, k) in enumerate(
            ((row["case_id"], row["slice"]), (row["stands_for_case"], row["stands_for_slice"]))
        ):
            shown = picture(manifest, root, places[case], k)
            axes[line, column].imshow(shown, cmap="gray", vmin=0, vmax=1)
            where = f"{case[:SHORT]}" + ("" if k is None else f"\nslice {k}")
            axes[line, column].set_title(where, fontsize=7)
            axes[line, column].set_xticks([])
            axes[line, column].set_yticks([])
        axes[1, column].set_xlabel(f"{row['similarity']:.3f}", fontsize=8)
    axes[0, 0].set_ylabel("dropped")
    axes[1, 0].set_ylabel("stands for it")
    figure.suptitle(f"least alike ({len(least)}), most alike ({len(most)}) of {len(dropped)}")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=100)


def picture(manifest: Manifest, root: Path, row: int, k: Any) -> Float32[np.ndarray, "j i"]:
    """Return a slice of a case, or its middle one: anterior is up, the patient's right is right."""
    case = manifest[row]
    place = case.shape[2] // 2 if k is None else int(k)
    cached = open_cached(root / case.image_uri)
    voxels = cached.read(slice(None), slice(None), slice(place, place + 1))
    return voxels[0, :, ::-1, 0].T
