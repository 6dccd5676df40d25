"""DICOM segmentations and RT structure sets as labels: of which case each one is.

An object is of the one case whose images it says that it was drawn on. Several objects of a case
make one label, which is there whole or not at all: a label that lacks one of them would call
background what that one says is something.
"""

import filecmp
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from medssl.data.archive.ledger import Ledger, Use
from medssl.data.archive.units import Unit, refuse_all
from medssl.data.archive.walk import File
from medssl.data.dicom.references import Reference, References, read_references
from medssl.data.dicom.regions import Classes
from medssl.data.manifest import Case
from medssl.data.readers.dicom_objects import draw_objects
from medssl.data.verdicts import Code, RefusedError
from medssl.errors import DataError

KINDS = {Code.SEGMENTATION, Code.STRUCTURES}  # what such files are refused as until one asks
TABLE = "objects.parquet"
SCHEMA = pa.schema(
    {
        "case_id": pa.string(),
        "file_id": pa.string(),
        "names": pa.list_(pa.string()),
        "numbers": pa.list_(pa.int32()),
    },
    metadata={"medssl.objects": "1"},
)


@dataclass(frozen=True)
class Object:
    """A file whose header says that it labels images.

    Args:
        file: Where it is.
        classes: What is taken of it.
        about: The images it is about.
    """

    file: File
    classes: Classes
    about: References


@dataclass(frozen=True)
class Objects:
    """All objects of one case."""

    members: tuple[Object, ...]

    def draw(self, case: Case) -> None:
        """Draw the label on the case's grid, to see whether it can be.

        Raises:
            RefusedError: If it cannot; naming the file where it is one file's fault.
        """
        affine = np.array(case.affine, np.float64).reshape(4, 4)
        parts = [(member.file.path, member.classes) for member in self.members]
        draw_objects(parts, case.shape, affine)


@dataclass(frozen=True)
class Archive:
    """What there is to label.

    Args:
        units: Of all sources.
        has_series: Says whether a series of this UID is there, refused or not.
    """

    units: tuple[Unit, ...]
    has_series: Callable[[str], bool]


def find_objects(
    files: Iterable[tuple[File, Classes]], archive: Archive, ledger: Ledger
) -> dict[str, Objects]:
    """Return the objects of units by the unit's identity; an object of none is refused.

    What is found stands refused as the label of a refused image until `with_objects` takes it.

    Args:
        files: Segmentations and structure sets, with the classes that are taken of each.
        archive: What there is to label.
        ledger: Where verdicts go.
    """
    objects = _without_copies(_read(files, ledger), ledger)
    named = {image.sop_uid for one in objects for image in one.about.drawn_on | one.about.listed}
    instances = _Instances.of(archive.units, named)
    found: dict[str, list[Object]] = defaultdict(list)
    for one in objects:
        try:
            unit = _unit_of(one.about, archive, instances)
        except RefusedError as refusal:
            ledger.refuse(one.file.path, refusal)
            continue
        ledger.refuse(one.file.path, _without_image())
        found[unit.identity].append(one)
    return {identity: Objects(tuple(members)) for identity, members in found.items()}


def with_objects(case: Case, objects: Objects, ledger: Ledger) -> Case:
    """Return the case with its objects as label; those that cannot be drawn are refused.

    Those of a case for test stay closed.
    """
    paths = [member.file.path for member in objects.members]
    try:
        if case.split != "test":
            objects.draw(case)
    except RefusedError as refusal:
        for path in [refusal.path] if refusal.path else paths:
            ledger.refuse(path, refusal)
        if refusal.path:
            refuse_all(paths, refusal.path, ledger)
        return case
    ledger.accept(((path, Use(case.case_id)) for path in paths), code=Code.LABEL)
    return replace(case, label_uri=f"objects:{case.case_id}")


def refuse_objects(objects: Objects, ledger: Ledger) -> None:
    """Refuse the objects of an image that a file labels already."""
    sentence = "a second label: a file labels the image already"
    for member in objects.members:
        ledger.refuse(member.file.path, RefusedError(Code.LABEL_CONFLICT, sentence))


def object_table(labels: Mapping[str, Objects], ledger: Ledger) -> pa.Table:
    """Return a row an object: of which case it is and what is taken of it.

    Args:
        labels: By case.
        ledger: What knows the files' ids.
    """
    rows = [
        {
            "case_id": case_id,
            "file_id": ledger.file_id(member.file.path),
            "names": list(member.classes),
            "numbers": list(member.classes.values()),
        }
        for case_id, objects in labels.items()
        for member in objects.members
    ]
    return pa.Table.from_pylist(rows, schema=SCHEMA)


def read_objects(output: Path) -> dict[str, list[tuple[str, Classes]]]:
    """Read which files label which case, with the classes that are taken of each.

    Raises:
        DataError: If there is no such table.
    """
    path = output / TABLE
    try:
        rows = pq.read_table(path).to_pylist()
    except (OSError, pa.ArrowInvalid) as error:
        msg = f"{path}: {error}; {output} must be the folder that `medssl index` wrote"
        raise DataError(msg) from error
    found: dict[str, list[tuple[str, Classes]]] = defaultdict(list)
    for row in rows:
        classes = dict(zip(row["names"], row["numbers"], strict=True))
        found[row["case_id"]].append((row["file_id"], classes))
    return found


def _read(files: Iterable[tuple[File, Classes]], ledger: Ledger) -> list[Object]:
    """Read the header of each; one that names no class or is damaged is refused."""
    objects = []
    for file, classes in files:
        try:
            objects.append(Object(file, classes, read_references(file.path, classes)))
        except RefusedError as refusal:
            ledger.refuse(file.path, refusal)
    return objects


def _without_copies(objects: Sequence[Object], ledger: Ledger) -> list[Object]:
    """Return the objects less those that equal an earlier one byte for byte, which are refused."""
    kept: dict[str, list[Object]] = defaultdict(list)
    for one in objects:
        same = kept[one.about.sop_uid]
        if any(filecmp.cmp(one.file.path, other.file.path, shallow=False) for other in same):
            refusal = RefusedError(Code.DUPLICATE_FILE, "a copy, byte for byte, of another file")
            ledger.refuse(one.file.path, refusal)
        else:
            same.append(one)
    return [one for same in kept.values() for one in same]


@dataclass(frozen=True)
class _Instances:
    """Which units the images under an instance UID are slices of."""

    images: Mapping[str, Sequence[tuple[int | None, Unit]]]

    @classmethod
    def of(cls, units: Iterable[Unit], named: Set[str]) -> "_Instances":
        images: dict[str, list[tuple[int | None, Unit]]] = defaultdict(list)
        for unit in units:
            for header in unit.stack.headers if unit.stack else ():
                if header.sop_uid in named:
                    # The tiles of a mosaic are no frames that a reference could name.
                    image = None if header.tiles_across else header.image
                    images[header.sop_uid].append((image, unit))
        return cls(images)

    def units(self, reference: Reference) -> list[Unit]:
        return [
            unit
            for image, unit in self.images.get(reference.sop_uid, ())
            if image is None or not reference.frames or image in reference.frames
        ]


def _unit_of(about: References, archive: Archive, instances: _Instances) -> Unit:
    """Return the one unit that an object is about.

    Raises:
        RefusedError: If there is none, or several.
    """
    for images in (about.drawn_on, about.listed):
        if units := [unit for image in images for unit in instances.units(image)]:
            _require_all(about.drawn_on, instances)
            return _only(units, "the images it refers to")
    if any(map(archive.has_series, about.series_uids)):
        raise _without_image()
    if images := about.drawn_on or about.listed:
        sentence = f"none of the {len(images)} images it refers to is in the archive"
        raise RefusedError(Code.REFERENCE_MISSING, sentence)
    near = [
        unit
        for unit in archive.units
        if unit.stack and unit.stack.headers[0].space_uid in about.space_uids
    ]
    if not near:
        sentence = "it refers to no image, and none in the archive shares its frame of reference"
        raise RefusedError(Code.REFERENCE_MISSING, sentence)
    return _only(near, "the images of its frame of reference, as it refers to none,")


def _require_all(drawn_on: Set[Reference], instances: _Instances) -> None:
    absent = sum(not instances.units(image) for image in drawn_on)
    if absent:
        sentence = f"{absent} of the {len(drawn_on)} images it was drawn on are not in the archive"
        raise RefusedError(Code.REFERENCE_MISSING, sentence)


def _only(units: Sequence[Unit], what: str) -> Unit:
    different = {unit.identity: unit for unit in units}
    if len(different) > 1:
        sentence = f"{what} are of {len(different)} volumes; which one it labels is not known"
        raise RefusedError(Code.REFERENCE_AMBIGUOUS, sentence)
    return units[0]


def _without_image() -> RefusedError:
    return RefusedError(Code.LABEL_WITHOUT_IMAGE, "a label whose image was refused")
