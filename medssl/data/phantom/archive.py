"""The archive: each item of a cohort as files, and the row of truth about it.

Layout of the folder that is written: `private/archive/<patient>/<visit>/<series>/<file>`,
`private/incoming/` (one series of a further subject, in the same way), `private/labels/` (NIfTI
label volumes on their series' grids, and `labels.csv`), `private/key`, `private/planted.txt`
(words that identify, one a line), and `truth.parquet`, which identifies nobody. Copies and what
is broken have no labels.
"""

import csv
import hashlib
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

import nibabel
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from jaxtyping import UInt8
from pydicom import uid

from medssl.data.phantom.anatomy import Template
from medssl.data.phantom.cohort import Item, Recipe, has_label
from medssl.data.phantom.defects import cut_short, drop_inner, write_note, write_screenshot
from medssl.data.phantom.dicom import SYNTAXES, Header, unique_id, write_series
from medssl.data.phantom.grid import Grid
from medssl.data.phantom.identity import Person, person
from medssl.data.phantom.render import Rendered, render

COPIES = ("exact_duplicate", "near_duplicate")


@dataclass(frozen=True, kw_only=True)
class Truth:
    """What is known about one item of the archive.

    Args:
        role: What it is.
        subject: A running number, not an identity.
        series_uid: The series, where it is one.
        of_series_uid: The original that a copy is of.
        num_files: Files it has.
        contrast: `t1`, `t2` or `flair`.
        syntax: Name of the transfer syntax.
        orientation: Directions of the column, row and slice index, nearest axes in RAS+.
        is_oblique: Whether these directions are turned away from the axes.
        shape: Columns, rows and slices of the whole series.
        affine: 16 numbers, row by row, from (column, row, slice) to RAS+ mm.
        is_labeled: Whether a label volume exists.
    """

    role: str
    subject: int
    series_uid: str | None = None
    of_series_uid: str | None = None
    num_files: int
    contrast: str | None = None
    syntax: str | None = None
    orientation: str | None = None
    is_oblique: bool | None = None
    shape: list[int] | None = None
    affine: list[float] | None = None
    is_labeled: bool = False


SCHEMA = pa.schema(
    {
        "role": pa.string(),
        "subject": pa.int32(),
        "series_uid": pa.string(),
        "of_series_uid": pa.string(),
        "num_files": pa.int32(),
        "contrast": pa.string(),
        "syntax": pa.string(),
        "orientation": pa.string(),
        "is_oblique": pa.bool_(),
        "shape": pa.list_(pa.field("element", pa.int32())),
        "affine": pa.list_(pa.field("element", pa.float64())),
        "is_labeled": pa.bool_(),
    }
)


def write_item(private: Path, template: Template, recipe: Recipe, item: Item) -> Truth:
    """Write one item's files below the private folder and return the truth about it."""
    someone = person(recipe.seed, item.subject)
    place = "incoming" if item.role == "incoming" else "archive"
    patient = private / place / f"{someone.surname}_{someone.given}"
    patient.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng([recipe.seed, 7, item.subject, item.number])
    if item.role == "text_file":
        write_note(patient / f"{item.number}_{someone.surname}.txt", someone)
        return Truth(role=item.role, subject=item.subject, num_files=1)
    header = _header(recipe, item, someone)
    folder = patient / _visit(item, someone) / f"{item.number:03d}_MR"
    if item.role == "secondary_capture":
        write_screenshot(folder / f"{someone.given}.dcm", header, rng)
        return Truth(
            role=item.role, subject=item.subject, series_uid=header.series_uid, num_files=1
        )

    image = render(template, recipe, item)
    paths = write_series(folder, image, header, rng)
    if item.role == "truncated":
        cut_short(paths[len(paths) // 3])
    if item.role == "missing_slice":
        paths = drop_inner(paths)
    if has_label(recipe, item):
        write_label(private / "labels" / f"{header.series_uid}.nii.gz", image.label, image.grid)
    return _truth(recipe, item, image, header, num_files=len(paths))


def write_label(path: Path, label: UInt8[np.ndarray, "i j k"], grid: Grid) -> None:
    """Write a label volume on its series' grid: axes (column, row, slice)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = nibabel.Nifti1Image(label, grid.affine)  # type: ignore[no-untyped-call]
    image.header.set_xyzt_units("mm")  # type: ignore[no-untyped-call]
    nibabel.save(image, path)


def write_truth(folder: Path, recipe: Recipe, truths: Iterable[Truth]) -> str:
    """Write what concerns the whole archive; return the truth's digest."""
    truths = list(truths)
    private = folder / "private"
    with (private / "labels" / "labels.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["series_uid", "label"])
        table.writerows([t.series_uid, f"{t.series_uid}.nii.gz"] for t in truths if t.is_labeled)
    words = [word for n in range(recipe.num_subjects + 1) for word in person(recipe.seed, n).words]
    (private / "planted.txt").write_text("\n".join(words) + "\n")
    key = private / "key"
    key.touch(mode=0o600)
    key.write_bytes(hashlib.blake2b(f"phantom {recipe.seed}".encode(), digest_size=32).digest())
    path = folder / "truth.parquet"
    pq.write_table(pa.Table.from_pylist([asdict(t) for t in truths], schema=SCHEMA), path)
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _visit(item: Item, someone: Person) -> str:
    visit = f"{someone.study_date}_{someone.patient_id}"
    return f"{visit}_again{item.number}" if item.role in COPIES else visit


def _header(recipe: Recipe, item: Item, someone: Person) -> Header:
    """Return the item's identifiers; a copy claims to be of a visit of its own."""
    visit = item.number if item.role in COPIES else 0
    key = (recipe.seed, item.subject)
    turn = item.subject + item.number
    return Header(
        person=someone,
        study_uid=unique_id("study", *key, visit),
        series_uid=_series_uid(recipe, item.subject, item.number),
        frame_uid=unique_id("frame", *key, visit),
        number=item.number,
        # What is cut short has its pixels at the end, as they are.
        syntax=SYNTAXES[turn % len(SYNTAXES)]
        if item.role not in ("truncated", "secondary_capture")
        else uid.ExplicitVRLittleEndian,
    )


def _series_uid(recipe: Recipe, subject: int, number: int) -> str:
    return unique_id("series", recipe.seed, subject, number)


def _truth(recipe: Recipe, item: Item, image: Rendered, header: Header, *, num_files: int) -> Truth:
    # An original's number is one more than its acquisition.
    original = _series_uid(recipe, item.subject, item.acquisition + 1)
    return Truth(
        role=item.role,
        subject=item.subject,
        series_uid=header.series_uid,
        of_series_uid=original if item.role in COPIES else None,
        num_files=num_files,
        contrast=image.contrast.name,
        syntax=header.syntax.name,
        orientation="".join(nibabel.aff2axcodes(image.grid.affine)),  # type: ignore[no-untyped-call]
        is_oblique=image.grid.is_oblique,
        shape=list(image.grid.shape),
        affine=image.grid.affine.ravel().tolist(),
        is_labeled=has_label(recipe, item),
    )
