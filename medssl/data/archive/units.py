"""From files to units, by their headers alone: what makes one case, and how to read it."""

import hashlib
import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path, PurePosixPath
from typing import cast

from medssl.data.archive.ledger import Ledger
from medssl.data.archive.look import Look
from medssl.data.archive.looks import Group
from medssl.data.archive.series import divide
from medssl.data.archive.versions import Contents, Images, digest_of_values
from medssl.data.archive.walk import File
from medssl.data.dicom.dates import date_of
from medssl.data.dicom.regrid import NOTHING, Allowed
from medssl.data.dicom.stack import Stack
from medssl.data.dicom.stacks import Misfit
from medssl.data.layouts import Held
from medssl.data.readers import FileReader
from medssl.data.readers.dicom_series import DicomSeries
from medssl.data.verdicts import Code, RefusedError
from medssl.data.volume import Volume


@dataclass(frozen=True, kw_only=True)
class Unit:
    """What becomes one case.

    Args:
        files: Of each slice in order; or its one file, and those with the rest of its voxels.
        name: What a table of labels or attributes calls it: the series UID, or the file's name
            without suffix.
        identity: What its case id is a keyed hash of.
        patient: What its subject id is a keyed hash of, unless the user says.
        study: What its study id is a keyed hash of, if it has one.
        series: What its series id is a keyed hash of, if it has one.
        modality: As the header says.
        frame: Of a file or a series with several.
        reader: What reads its one file, if it is no DICOM series.
        attributes: The whitelisted values of the header.
        stack: Its slices, if it is a DICOM series.
        study_date: The day of its study, if it is known.
        copy: Which of several series under its series UID it is of.
        digests: Of the bytes of each file.
        num_voxels: As the header says.
        layout: The layout that reads it, as text, if it needs one.
        held: What a file with a layout says of it.
    """

    files: tuple[File, ...]
    name: str
    identity: str
    patient: str
    study: str | None = None
    series: str | None = None
    modality: str | None = None
    frame: int | None = None
    attributes: Mapping[str, str] = field(default_factory=dict)
    stack: Stack | None = None
    reader: FileReader | None = None
    study_date: date | None = None
    copy: int = 0
    digests: tuple[str, ...] = ()
    num_voxels: int = 0
    layout: str | None = None
    held: Held | None = None

    def __repr__(self) -> str:
        # Errors of an engine name what was worked on; paths and patients are not for logs.
        return f"<a volume of {len(self.files)} files>"

    @property
    def source(self) -> int:
        """Which source it is of, by number."""
        return self.files[0].source

    def read(self) -> Volume:
        """Return its voxels."""
        if self.stack is not None:
            return DicomSeries().read_stack(self.stack)
        return cast(FileReader, self.reader).read(self.files[0].path, frame=self.frame)

    @property
    def key(self) -> str:
        """A hash of all that its voxels and their place are a function of."""
        images = [header.image for header in self.stack.headers] if self.stack else [self.frame]
        regrid = self.stack and self.stack.regrid and self.stack.regrid.sentence
        text = json.dumps([self.digests, images, regrid, self.layout])
        return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def find_units(ledger: Ledger, allowed: Allowed = NOTHING) -> Iterator[Unit]:
    """Yield what makes a case, series by series; what makes none is refused."""
    for group in ledger.looks.groups():
        if group.series is None:
            ((file, look),) = group.files
            yield from _of_file(file, look, ledger)
        else:
            yield from _of_series(group, ledger, allowed)


def _of_file(file: File, look: Look, ledger: Ledger) -> Iterator[Unit]:
    """Yield a unit a frame of a file that is a volume; one of three axes is one."""
    parts = [part for path in look.parts if (part := ledger.file(path)) is not None]
    frames: Sequence[int | None] = [None] if len(look.shape) == 3 else range(look.shape[3])
    layout = ledger.layouts[file.source] if look.held else None
    for frame in frames:
        held = look.held[frame or 0] if look.held else None
        name = f"{file.stem}/{held.name}" if held and held.name else file.stem
        # Volumes with names of their own are no frames of one series.
        is_series = frame is not None and name == file.stem
        yield Unit(
            files=(file, *parts),
            name=name,
            identity=f"file|{file.source}|{file.name}|{frame}",
            patient=f"{file.source}|{name}",
            series=f"file|{file.source}|{file.name}" if is_series else None,
            frame=frame,
            reader=layout or file.reader,
            attributes=layout.attributes if layout else {},
            digests=(look.digest, *(ledger.looks.digest(part.path) for part in parts)),
            num_voxels=math.prod(look.shape[:3]),
            layout=repr(layout) if layout else None,
            held=held,
        )


def _of_series(group: Group, ledger: Ledger, allowed: Allowed) -> Iterator[Unit]:
    """Yield a unit for each volume of a series."""
    files = {file.path: (file, look.digest) for file, look in group.files}
    headers = [header for _, look in group.files for header in look.headers]
    there = {header.sop_uid for header in headers} - {""}
    # A damaged copy of an image that is there takes nothing from the series.
    culprits = [p for p, lost in ledger.looks.broken(group.series or "") if lost not in there]
    if culprits:
        refuse_all(files, culprits[0], ledger)
        return
    units = []
    for copy, found in divide(headers, allowed, _contents(files, ledger)):
        if isinstance(found, Misfit):
            for header in found.headers:
                ledger.refuse(header.path, found.refusal)
        else:
            units.append(_unit(found, files, copy))
    order = {path: number for number, path in enumerate(files)}
    yield from sorted(units, key=lambda unit: min(order[file.path] for file in unit.files))


def _contents(files: Mapping[Path, tuple[File, str]], ledger: Ledger) -> Contents:
    """Return how to compare files by what was seen in them, now or in an earlier run."""

    def values_of(images: Images) -> str:
        key = f"values {files[images[0].path][1]}"
        kept = ledger.looks.recall(key) or {"digest": digest_of_values(images)}
        ledger.looks.remember(key, kept)
        return str(kept["digest"])

    return Contents(bytes_of=lambda path: files[path][1], values_of=values_of)


def refuse_all(paths: Iterable[Path], culprit: Path, ledger: Ledger) -> None:
    """Refuse the files of a volume of which one cannot be read; that one has its own verdict."""
    sentence = f"another file of its volume cannot be read: file {ledger.file_id(culprit)}"
    for path in paths:
        if path != culprit:
            ledger.refuse(path, RefusedError(Code.BROKEN_SERIES, sentence))


def _unit(stack: Stack, files: Mapping[Path, tuple[File, str]], copy: int) -> Unit:
    first = stack.headers[0]
    members = tuple(files[header.path][0] for header in stack.headers)
    patient, number = first.series_key[:2]
    where = PurePosixPath(members[0].name).parent.as_posix()
    # A series without UID is known by where it lies.
    series = first.series_uid or f"{members[0].source}|{where}|{number}"
    visit = first.study_uid or series
    return Unit(
        files=members,
        name=first.series_uid or where,
        identity=f"series|{patient}|{visit}|{series}|{copy}|{stack.part}|{stack.frame}",
        patient=patient or visit,
        study=visit,
        series=series,
        modality=first.modality,
        frame=stack.frame,
        attributes=first.attributes,
        stack=stack,
        study_date=date_of(first.study_date),
        copy=copy,
        digests=tuple(files[header.path][1] for header in stack.headers),
        num_voxels=first.rows * first.columns * len(stack.headers),
    )
