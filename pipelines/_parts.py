"""Descriptors on disk: a Parquet file every few thousand rows, each whole or not there.

Each says in its metadata what it was made of, so that a run that was killed goes on after the
last one, and one of other settings begins anew. `image` is the name of the cached volume, which
is a hash of its content: descriptors of another image are told by it.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from jaxtyping import Bool, Int, Shaped

from medssl.errors import DataError
from pipelines._files import write_table

PART_ROWS = 8192  # at least, unless there are no more: 64 KiB of hashes, 128 MiB of thumbnails
FOLDER = "rows"
STAMP = b"medssl.made_of"
WHICH = ("case_id", "slice", "blank", "image")


@dataclass(frozen=True)
class Part:
    """Some cases that follow one another, whose rows share a file.

    Args:
        path: The file.
        start: The first case.
        end: The first that is not one.
    """

    path: Path
    start: int
    end: int

    def is_made_of(self, stamp: str) -> bool:
        """Return whether the file is there, made of just that."""
        if not self.path.is_file():
            return False
        metadata = pq.read_schema(self.path).metadata or {}
        return metadata.get(STAMP, b"").decode() == stamp


def parts_of(num_rows: Sequence[int], folder: Path) -> list[Part]:
    """Return the parts of an output folder, given how many rows each case has."""
    parts: list[Part] = []
    start, held = 0, 0
    for case, rows in enumerate(num_rows):
        held += rows
        if held >= PART_ROWS or case == len(num_rows) - 1:
            path = folder / FOLDER / f"part-{len(parts):05d}.parquet"
            parts.append(Part(path, start, case + 1))
            start, held = case + 1, 0
    return parts


def stamp_of(made_of: Mapping[str, Any]) -> str:
    """Return a hash of what rows are made of."""
    return hashlib.blake2b(json.dumps(made_of, sort_keys=True).encode()).hexdigest()[:32]


@dataclass(frozen=True)
class Rows:
    """The rows of one case.

    Args:
        case_id: Whose they are.
        image: The name of its cached volume.
        slices: Of which slice each is; -1 of a volume.
        values: The rows.
        blank: Which show next to nothing.
    """

    case_id: str
    image: str
    slices: Int[np.ndarray, "row"]
    values: Shaped[np.ndarray, "row dim"]
    blank: Bool[np.ndarray, "row"]


def write_part(part: Part, cases: Sequence[Rows], stamp: str) -> None:
    """Write the rows of a part's cases."""
    counts = [len(rows.values) for rows in cases]
    values = np.concatenate([rows.values for rows in cases])
    slices = np.concatenate([rows.slices for rows in cases])
    table = pa.table(
        {
            "case_id": np.repeat([rows.case_id for rows in cases], counts),
            "slice": pa.array(slices, pa.int32(), mask=slices < 0),
            "blank": np.concatenate([rows.blank for rows in cases]),
            "image": np.repeat([rows.image for rows in cases], counts),
            "values": pa.FixedSizeListArray.from_arrays(pa.array(values.ravel()), values.shape[1]),
        }
    )
    write_table(table.replace_schema_metadata({STAMP: stamp.encode()}), part.path)


def drop_others(folder: Path, parts: Sequence[Part]) -> None:
    """Remove files of an earlier run that no part of this one will replace."""
    expected = {part.path for part in parts}
    for path in sorted((folder / FOLDER).glob("*.parquet")):
        if path not in expected:
            path.unlink()


def part_files(folder: Path) -> list[Path]:
    """Return the files of a finished folder, in order."""
    return sorted((folder / FOLDER).glob("part-*.parquet"))


def dim_of(path: Path) -> int:
    """Return how many numbers a row of a file has."""
    return int(pq.read_schema(path).field("values").type.list_size)


def which(folder: Path) -> pa.Table:
    """Return which case and slice each row is of, whether it is blank, and of which image."""
    tables = [pq.read_table(path, columns=list(WHICH)) for path in part_files(folder)]
    return pa.concat_tables(tables).combine_chunks()


def values_of(folder: Path, dim: int) -> Iterator[Shaped[np.ndarray, "row dim"]]:
    """Yield the values file by file.

    Raises:
        DataError: If a file's rows have another number of values.
    """
    for path in part_files(folder):
        if dim_of(path) != dim:
            msg = f"{path}: expected {dim} numbers a row, as in card.json, got {dim_of(path)}"
            raise DataError(msg)
        column = pq.read_table(path, columns=["values"])["values"].combine_chunks()
        yield column.flatten().to_numpy(zero_copy_only=False).reshape(-1, dim)
