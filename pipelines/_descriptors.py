"""What `embed` wrote, read back in the order of a manifest."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from jaxtyping import Bool, Int, Shaped

from medssl.data.manifest import Manifest
from medssl.errors import DataError


@dataclass(frozen=True)
class Described:
    """Rows of descriptors, sorted by case and slice.

    Args:
        values: The rows.
        case: Of which row of the manifest each is.
        slice: Of which slice it is; -1 for a volume.
        blank: Whether there is next to nothing to see.
        kind: `vector` or `hash`.
        unit: `volume` or `slice`.
        num_cases: Rows of the manifest.
    """

    values: Shaped[np.ndarray, "row dim"]
    case: Int[np.ndarray, "row"]
    slice: Int[np.ndarray, "row"]
    blank: Bool[np.ndarray, "row"]
    kind: Literal["vector", "hash"]
    unit: Literal["volume", "slice"]
    num_cases: int


def read_descriptors(folder: Path, manifest: Manifest, *, split: str) -> Described:
    """Return the rows of a split's cases, only of slices that take part.

    Descriptors of other cases are passed over.

    Raises:
        DataError: If the folder is not what `embed` wrote, or lacks a case of the split.
    """
    if not (folder / "card.json").is_file():
        msg = f"{folder} holds no finished descriptors (no card.json); run `medssl embed` first"
        raise DataError(msg)
    card = json.loads((folder / "card.json").read_text())
    listed = pq.read_table(folder / "rows.parquet").combine_chunks()
    values = np.load(folder / "values.npy", mmap_mode="r", allow_pickle=False)
    if len(values) != len(listed):
        msg = (
            f"{folder}: values.npy has {len(values)} rows, rows.parquet {len(listed)}; embed again"
        )
        raise DataError(msg)

    in_split = pc.equal(manifest.table["split"], split).to_numpy()
    if not in_split.any():
        msg = f"no case has split {split!r}: there is nothing to select from"
        raise DataError(msg)
    case = _filled(pc.index_in(listed["case_id"], value_set=manifest.table["case_id"]))
    place = _filled(listed["slice"])
    wanted = (case >= 0) & in_split[case] & takes_part(manifest, case, place)
    (rows,) = np.nonzero(wanted)
    rows = rows[np.lexsort((place[rows], case[rows]))]
    if lacking := sorted(set(in_split.nonzero()[0].tolist()) - set(case[rows].tolist())):
        first = manifest.table["case_id"][lacking[0]].as_py()
        msg = (
            f"{folder} lacks {len(lacking)} of the {split} cases, such as {first}; "
            "run `medssl embed` on this manifest"
        )
        raise DataError(msg)
    return Described(
        values=values[rows],
        case=case[rows],
        slice=place[rows],
        blank=listed["blank"].to_numpy()[rows],
        kind=card["kind"],
        unit=card["unit"],
        num_cases=len(manifest),
    )


def takes_part(
    manifest: Manifest, case: Int[np.ndarray, "row"], place: Int[np.ndarray, "row"]
) -> Bool[np.ndarray, "row"]:
    """Return which rows are of volumes, or of slices that their case does not leave out."""
    listed = manifest.table["slices"].combine_chunks()
    limited = pc.is_valid(listed).to_numpy(zero_copy_only=False)
    size = int(max(place.max(initial=0), pc.max(listed.flatten()).as_py() or 0)) + 1
    members = pc.list_parent_indices(listed).to_numpy() * size + listed.flatten().to_numpy()
    return (place < 0) | ~limited[case] | np.isin(case * size + place, members)


def _filled(column: pa.ChunkedArray | pa.Array) -> Int[np.ndarray, "row"]:
    """Return integers with -1 in place of null."""
    return pc.fill_null(column, -1).to_numpy().astype(np.int64)
