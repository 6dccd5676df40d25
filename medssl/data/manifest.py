"""The list of cases a run is about: a columnar table, Parquet on disk, one row a case."""

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from jaxtyping import Int

from medssl.errors import DataError


def _list(item: pa.DataType) -> pa.ListType:
    # The items of a list are called "element" because Parquet calls them so.
    return pa.list_(pa.field("element", item))


LABEL_BY = "label_by"  # an attribute: who drew a label, if it was no person
NETWORK = "network"

SCHEMA = pa.schema(
    {
        "case_id": pa.string(),
        "digest": pa.string(),
        "subject_id": pa.string(),
        "study_id": pa.string(),
        "series_id": pa.string(),
        "kind": pa.string(),
        "modality": pa.string(),
        "image_uri": pa.string(),
        "label_uri": pa.string(),
        "slices": _list(pa.int32()),
        "shape": _list(pa.int32()),
        "spacing_mm": _list(pa.float64()),
        "affine": _list(pa.float64()),
        "frame": pa.int32(),
        "body_part": pa.string(),
        "sequence": pa.string(),
        "scanner": pa.string(),
        "site": pa.string(),
        "age_years": pa.float64(),
        "sex": pa.string(),
        "labels": _list(
            pa.struct({"class_name": pa.string(), "box_mm": _list(pa.float64())}),
        ),
        "attributes": pa.map_(pa.string(), pa.string()),
        "group": pa.string(),
        "split": pa.string(),
        "bytes": pa.int64(),
    },
    metadata={"medssl.manifest": "1"},
)


def text_columns() -> list[str]:
    """Return the names of the columns that hold a text a case."""
    return [field.name for field in SCHEMA if field.type == pa.string()]


@dataclass(frozen=True, kw_only=True)
class Case:
    """One row of a manifest, as Python values.

    Args:
        case_id: Unique in the manifest; a keyed hash of study, series and frame, or of a path.
        digest: Hash of voxels and geometry; equal digests are copies whatever their names.
        subject_id: The patient, a keyed hash; splits never divide one.
        study_id: The patient's visit, a keyed hash.
        series_id: The series that the volume is of, a keyed hash; frames of a file are one.
        kind: `volume`, `slide` or `image`.
        modality: DICOM's code, such as `CT` or `MR`, if known.
        image_uri: The image. After `index` an id that only `medssl.data.source` resolves;
            after `cache` a path relative to the manifest's folder.
        label_uri: The label volume in the same way, if there is one to read.
        slices: Slices along the third axis that take part; null for all.
        shape: Voxels along each spatial axis.
        spacing_mm: Length of a voxel step along each.
        affine: The 16 numbers, row by row, of the affine to RAS+ mm.
        frame: Which frame of a file with several, if it has.
        body_part: As the archive says.
        sequence: Scanning sequence, kernel or the like.
        scanner: Manufacturer and model.
        site: Where it was made.
        age_years: At the time of the study; 90 above 89.
        sex: `F`, `M` or `O`.
        labels: What is known of the whole or of parts of it: dictionaries of `class_name` and
            `box_mm` (six numbers, lower and upper corner in RAS+ mm; null for the whole).
        attributes: Further named values.
        group: A population, such as `background` and `target`.
        split: `train`, `val` or `test`; empty of a case that was read without an index.
        bytes: Of the decoded voxels.
    """

    case_id: str
    digest: str
    subject_id: str
    study_id: str | None = None
    series_id: str | None = None
    kind: str = "volume"
    modality: str | None = None
    image_uri: str
    label_uri: str | None = None
    slices: list[int] | None = None
    shape: list[int]
    spacing_mm: list[float]
    affine: list[float] | None = None
    frame: int | None = None
    body_part: str | None = None
    sequence: str | None = None
    scanner: str | None = None
    site: str | None = None
    age_years: float | None = None
    sex: str | None = None
    labels: list[dict[str, Any]] | None = None
    attributes: dict[str, str] = field(default_factory=dict)
    group: str | None = None
    split: str
    bytes: int | None = None


@dataclass(frozen=True)
class Manifest:
    """Cases in file order, checked as a whole, each check in linear time."""

    table: pa.Table

    def __post_init__(self) -> None:
        # Apart, because Parquet gives a map's items another name, which counts as metadata.
        schema = self.table.schema
        if not schema.equals(SCHEMA) or schema.metadata != SCHEMA.metadata:
            msg = f"expected the columns\n{SCHEMA}\ngot\n{self.table.schema}"
            raise DataError(msg)
        counts = self.table.group_by("case_id").aggregate([([], "count_all")])
        if twice := _above_one(counts, "count_all", "case_id"):
            msg = f"case_id must be unique, these are not: {twice}"
            raise DataError(msg)
        for key in ("subject_id", "digest"):
            counts = self.table.group_by(key).aggregate([("split", "count_distinct")])
            if leaked := _above_one(counts, "split_count_distinct", key):
                msg = f"a {key} must stay in one split, these do not: {leaked}"
                raise DataError(msg)

    @classmethod
    def of(cls, cases: Iterable[Case]) -> "Manifest":
        """Return the manifest of these rows."""
        return cls(pa.Table.from_pylist([asdict(case) for case in cases], schema=SCHEMA))

    def __len__(self) -> int:
        return self.table.num_rows

    def __getitem__(self, row: int) -> Case:
        values = {name: self.table[name][row].as_py() for name in SCHEMA.names}
        return Case(**values | {"attributes": dict(values["attributes"] or ())})

    def __iter__(self) -> Iterator[Case]:
        return (self[row] for row in range(len(self)))

    def codes(self, column: str) -> Int[np.ndarray, "case"]:
        """Return a number for each case, equal where the column is equal."""
        encoded = self.table[column].combine_chunks().dictionary_encode()
        return encoded.indices.to_numpy(zero_copy_only=False).astype(np.int64)

    def digest(self) -> str:
        """Return a hash of all that the rows say, whatever the file they came from."""
        text = "\n".join(json.dumps(row, sort_keys=True) for row in self.table.to_pylist())
        return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()

    def keep(self, rows: Int[np.ndarray, "kept"]) -> "Manifest":
        """Return the manifest of these rows, in the order given."""
        return Manifest(self.table.take(pa.array(rows, pa.int64())))

    def split(self, name: str) -> "Manifest":
        """Return the manifest of one split."""
        return self.where("split", name)

    def where(self, column: str, text: str) -> "Manifest":
        """Return the manifest of the cases that have a text in a column."""
        return Manifest(self.table.filter(pc.field(column) == text))


def is_pseudo(case: Case) -> bool:
    """Return whether a network drew the case's label."""
    return case.attributes.get(LABEL_BY) == NETWORK


def read_manifest(path: Path) -> Manifest:
    """Read a manifest, refusing columns, types or a version that are not `SCHEMA`'s."""
    try:
        return Manifest(pq.read_table(path))
    except FileNotFoundError as error:
        msg = (
            f"{path}: expected a manifest, there is no such file; first run the stage that writes "
            "it (`medssl index`, `cache` or `select`), or name its folder"
        )
        raise DataError(msg) from error
    except (DataError, pa.ArrowInvalid) as error:
        msg = f"{path}: {error}"
        raise DataError(msg) from error
    except OSError as error:
        msg = (
            f"{path}: expected a manifest that can be read, got {type(error).__name__}; have its "
            "owner allow it, or run the stage that writes it again"
        )
        raise DataError(msg) from error


def write_manifest(manifest: Manifest, path: Path) -> None:
    """Write a manifest so that `read_manifest` gives it back; never half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.part")
    temporary.unlink(missing_ok=True)  # which might be a link to elsewhere
    pq.write_table(manifest.table, temporary)
    temporary.replace(path)


def _above_one(counts: pa.Table, count: str, key: str) -> list[str]:
    """Return the first few keys that were counted more than once."""
    return sorted(counts.filter(pc.field(count) > 1)[key].to_pylist())[:5]
