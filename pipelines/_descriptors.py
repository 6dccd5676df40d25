"""What `embed` wrote, read back in the order of a manifest."""

import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Bool, Int, Shaped

from medssl.data.manifest import Manifest
from medssl.errors import DataError
from medssl.similarity import Kind
from pipelines._parts import values_of, which

IN_MEMORY = 1 << 30  # bytes of values from which on they lie in a file


@dataclass(frozen=True)
class Described:
    """Rows of descriptors, sorted by case and slice.

    Args:
        values: The rows.
        case: Of which row of the manifest each is.
        slice: Of which slice it is; -1 for a volume.
        blank: Whether there is next to nothing to see.
        card: What they are.
        num_cases: Rows of the manifest.
    """

    values: Shaped[np.ndarray, "row dim"]
    case: Int[np.ndarray, "row"]
    slice: Int[np.ndarray, "row"]
    blank: Bool[np.ndarray, "row"]
    card: Mapping[str, Any]
    num_cases: int

    @property
    def kind(self) -> Kind:
        """Of which kind the values are."""
        kind: Kind = self.card["kind"]
        return kind

    @property
    def unit(self) -> Literal["volume", "slice"]:
        """What has a row."""
        unit: Literal["volume", "slice"] = self.card["unit"]
        return unit


def read_card(folder: Path) -> Mapping[str, Any]:
    """Return what the rows of a folder are.

    Raises:
        DataError: If the folder is not what `embed` wrote.
    """
    if not (folder / "card.json").is_file():
        msg = f"{folder} holds no finished descriptors (no card.json); run `medssl embed` first"
        raise DataError(msg)
    card: Mapping[str, Any] = json.loads((folder / "card.json").read_text())
    if card.get("format") != 2:
        msg = f"{folder}/card.json is of format {card.get('format')}, expected 2; embed again"
        raise DataError(msg)
    return card


def read_descriptors(folder: Path, manifest: Manifest, *, split: str | None) -> Described:
    """Return the rows of a split's cases, or of all, only of slices that take part.

    Descriptors of other cases are passed over.

    Raises:
        DataError: If the folder is not what `embed` wrote, lacks a case of the split or a slice
            of one, or describes other images than the manifest lists.
    """
    card = read_card(folder)
    listed = which(folder)
    if len(listed) != card["num_rows"]:
        msg = (
            f"{folder}: card.json says {card['num_rows']} rows, its files hold {len(listed)}; "
            "embed again"
        )
        raise DataError(msg)

    in_split = np.ones(len(manifest), bool)
    if split is not None:
        in_split = pc.equal(manifest.table["split"], split).to_numpy()
    if not in_split.any():
        msg = f"no case has split {split!r}: there is nothing to select from"
        raise DataError(msg)
    case = _filled(pc.index_in(listed["case_id"], value_set=manifest.table["case_id"]))
    place = _filled(listed["slice"])
    wanted = (case >= 0) & in_split[case] & takes_part(manifest, case, place)
    check_images(folder, listed, manifest, case, wanted)
    (rows,) = np.nonzero(wanted)
    rows = rows[np.lexsort((place[rows], case[rows]))]
    if lacking := sorted(set(in_split.nonzero()[0].tolist()) - set(case[rows].tolist())):
        first = manifest.table["case_id"][lacking[0]].as_py()
        msg = (
            f"{folder} lacks {len(lacking)} of the {split or 'manifest'} cases, such as {first}; "
            "run `medssl embed` on this manifest"
        )
        raise DataError(msg)
    check_slices(folder, manifest, case[rows[place[rows] >= 0]])
    return Described(
        values=gathered(folder, card["dim"], rows),
        case=case[rows],
        slice=place[rows],
        blank=listed["blank"].to_numpy()[rows],
        card=card,
        num_cases=len(manifest),
    )


def check_slices(folder: Path, manifest: Manifest, case: Int[np.ndarray, "row"]) -> None:
    """Refuse descriptors of cases of which slices take part that have no row.

    Args:
        folder: Where they are, for the message.
        manifest: What lists the cases.
        case: Of which row of the manifest each described slice is.

    Raises:
        DataError: If there are any; the first case is named.
    """
    if not len(case):
        return
    cases, described = np.unique(case, return_counts=True)
    table = manifest.table.take(pa.array(cases))
    expected = num_slices(table).to_numpy()
    (short,) = np.nonzero(described < expected)
    if len(short):
        first = int(short[0])
        msg = (
            f"{folder} lacks slices of {len(short)} of {len(cases)} cases, such as "
            f"{expected[first] - described[first]} of the {expected[first]} that case "
            f"{table['case_id'][first].as_py()} takes part with; run `medssl embed` on this "
            "manifest, or give the one that was described"
        )
        raise DataError(msg)


def num_slices(table: pa.Table) -> pa.ChunkedArray:
    """Return how many slices each row of a manifest's table takes part with."""
    depth = pc.list_element(table["shape"], 2)
    return pc.coalesce(pc.list_value_length(table["slices"]), depth)


def takes_part(
    manifest: Manifest, case: Int[np.ndarray, "row"], place: Int[np.ndarray, "row"]
) -> Bool[np.ndarray, "row"]:
    """Return which rows are of volumes, or of slices that their case does not leave out."""
    listed = manifest.table["slices"].combine_chunks()
    limited = pc.is_valid(listed).to_numpy(zero_copy_only=False)
    size = int(max(place.max(initial=0), pc.max(listed.flatten()).as_py() or 0)) + 1
    members = pc.list_parent_indices(listed).to_numpy() * size + listed.flatten().to_numpy()
    return (place < 0) | ~limited[case] | np.isin(case * size + place, members)


def check_images(
    folder: Path,
    listed: pa.Table,
    manifest: Manifest,
    case: Int[np.ndarray, "row"],
    wanted: Bool[np.ndarray, "row"],
) -> None:
    """Refuse descriptors of other images than the manifest lists.

    Raises:
        DataError: If there are any; the first is named.
    """
    (rows,) = np.nonzero(wanted)
    now = image_names(manifest).combine_chunks().take(pa.array(case[rows]))
    differ = pc.not_equal(listed["image"].take(pa.array(rows)), now).to_numpy()
    if differ.any():
        first = int(rows[differ.argmax()])
        msg = (
            f"{folder} describes another image of case {listed['case_id'][first].as_py()} than the "
            f"manifest lists ({listed['image'][first].as_py()}, "
            f"{now[int(differ.argmax())].as_py()}), as of {len(np.unique(case[rows[differ]]))} "
            "cases; run `medssl embed` on this manifest"
        )
        raise DataError(msg)


def image_names(manifest: Manifest) -> pa.ChunkedArray:
    """Return the name of each case's cached volume, a hash of its content."""
    uris = manifest.table["image_uri"]
    return pc.replace_substring_regex(uris, pattern=".*/", replacement="")


def gathered(
    folder: Path, dim: int, rows: Int[np.ndarray, "wanted"]
) -> Shaped[np.ndarray, "wanted dim"]:
    """Return the values of some rows, in that order; in a file without name where they are many.

    Files are read one by one, so what is held besides the result is one of them.
    """
    result: np.ndarray | None = None
    place = np.argsort(rows, kind="stable")
    start = 0
    for values in values_of(folder, dim):
        if result is None:
            result = _room((len(rows), dim), values.dtype)
        low, high = np.searchsorted(rows[place], [start, start + len(values)])
        result[place[low:high]] = values[rows[place[low:high]] - start]
        start += len(values)
    if result is None:
        msg = f"{folder} holds no rows; run `medssl embed` again"
        raise DataError(msg)
    return result


def _room(shape: tuple[int, int], dtype: np.dtype[Any]) -> np.ndarray:
    if shape[0] * shape[1] * dtype.itemsize <= IN_MEMORY:
        return np.empty(shape, dtype)
    # The system writes what does not fit to the disk and drops the file with the array.
    with tempfile.TemporaryFile() as file:
        return np.memmap(file, dtype, mode="w+", shape=shape)


def _filled(column: pa.ChunkedArray | pa.Array) -> Int[np.ndarray, "row"]:
    """Return integers with -1 in place of null."""
    return pc.fill_null(column, -1).to_numpy().astype(np.int64)
