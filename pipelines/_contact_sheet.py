"""Pairs to look at: what a selection dropped, beside what stands for it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Float32
from matplotlib.figure import Figure

from medssl.data.cache import open_cached
from medssl.data.manifest import Manifest

SHORT = 8  # letters of a case's id that are shown
RANK = [("similarity", "ascending"), ("case_id", "ascending"), ("slice", "ascending")]


class Place(NamedTuple):
    """A slice of a case, or a case of which there is no slice to speak of."""

    case_id: str
    slice: int | None

    @property
    def words(self) -> str:
        """What a person reads of it."""
        return self.case_id[:SHORT] + ("" if self.slice is None else f"\nslice {self.slice}")


@dataclass(frozen=True)
class Pair:
    """What was dropped, and what stands for it.

    Args:
        dropped: The one.
        stands_for_it: The other.
        similarity: How alike they are.
    """

    dropped: Place
    stands_for_it: Place
    similarity: float


def draw_contact_sheet(
    log: pa.Table, manifest: Manifest, root: Path, number: int, path: Path
) -> None:
    """Draw the dropped rows that are least like what stands for them, and those that are most.

    Args:
        log: The audit.
        manifest: Where the cases are.
        root: The folder that the manifest's paths start from.
        number: Pairs of each kind.
        path: Where the figure goes; there is none where nothing was dropped in favor of anything.
    """
    least, most, total = pairs_to_show(log, number)
    if not least:
        return
    figure = sheet([*least, *most], manifest, root)
    figure.suptitle(f"least alike ({len(least)}), most alike ({len(most)}) of {total}")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=100)


def pairs_to_show(log: pa.Table, number: int) -> tuple[list[Pair], list[Pair], int]:
    """Return the pairs that are least alike, others that are most, and how many there are.

    Both begin with what is less alike; of equally alike pairs the first by case and slice is less.
    Where there are fewer than twice the number, the least alike come first.
    """
    dropped = log.filter(pc.equal(log["reason"], "represented"))
    ranked = pc.sort_indices(dropped, sort_keys=RANK)
    least = ranked.slice(0, number)
    most = ranked.slice(max(number, len(ranked) - number))
    return _pairs(dropped.take(least)), _pairs(dropped.take(most)), len(dropped)


def _pairs(rows: pa.Table) -> list[Pair]:
    return [
        Pair(
            Place(row["case_id"], row["slice"]),
            Place(row["stands_for_case"], row["stands_for_slice"]),
            row["similarity"],
        )
        for row in rows.to_pylist()
    ]


def sheet(pairs: Sequence[Pair], manifest: Manifest, root: Path) -> Figure:
    """Return a figure with a column a pair: what was dropped above what stands for it."""
    rows = {case: row for row, case in enumerate(manifest.table["case_id"].to_pylist())}
    figure = Figure(figsize=(1.7 * len(pairs) + 0.5, 4), layout="constrained")
    axes = figure.subplots(2, len(pairs), squeeze=False)
    for column, pair in enumerate(pairs):
        for line, place in enumerate((pair.dropped, pair.stands_for_it)):
            shown = picture(manifest, root, rows[place.case_id], place.slice)
            axes[line, column].imshow(shown, cmap="gray", vmin=0, vmax=1)
            axes[line, column].set_title(place.words, fontsize=7)
            axes[line, column].set_xticks([])
            axes[line, column].set_yticks([])
        axes[1, column].set_xlabel(f"{pair.similarity:.3f}", fontsize=8)
    axes[0, 0].set_ylabel("dropped")
    axes[1, 0].set_ylabel("stands for it")
    return figure


def picture(manifest: Manifest, root: Path, row: int, k: int | None) -> Float32[np.ndarray, "j i"]:
    """Return a slice of a case, or its middle one: anterior is up, the patient's right is right."""
    case = manifest[row]
    place = case.shape[2] // 2 if k is None else k
    cached = open_cached(root / case.image_uri)
    voxels = cached.read(slice(None), slice(None), slice(place, place + 1))
    return voxels[0, :, ::-1, 0].T
