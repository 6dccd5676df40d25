"""From files to units, by their headers alone: what makes one case, and how to read it."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path, PurePosixPath
from typing import cast

from medssl.data.archive.ledger import Ledger
from medssl.data.archive.series import divide
from medssl.data.archive.walk import File
from medssl.data.dicom.dates import date_of
from medssl.data.dicom.header import Header, read_headers
from medssl.data.dicom.kinds import require_slices
from medssl.data.dicom.regrid import NOTHING, Allowed
from medssl.data.dicom.stack import Stack
from medssl.data.dicom.stacks import Misfit
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

    @property
    def source(self) -> int:
        """Which source it is of, by number."""
        return self.files[0].source

    def read(self) -> Volume:
        """Return its voxels."""
        if self.stack is not None:
            return DicomSeries().read_stack(self.stack)
        return cast(FileReader, self.reader).read(self.files[0].path, frame=self.frame)


@dataclass(frozen=True)
class Archive:
    """What was found.

    Args:
        units: In the order of their first files.
        names: Of everything that is there, refused or not.
    """

    units: tuple[Unit, ...]
    names: frozenset[str]


def find_units(files: Iterable[File], ledger: Ledger, allowed: Allowed = NOTHING) -> Archive:
    """Read all headers, refuse what makes no case, and return what does."""
    units: list[Unit] = []
    looked = Looked()
    order: dict[Path, int] = {}
    refusals: dict[Path, RefusedError] = {}
    for file in files:
        order[file.path] = len(order)
        try:
            if file.reader is not None:
                units += file_units(file, file.reader, ledger)
            else:
                looked.add(file, _headers(file))
        except RefusedError as refusal:
            refusals[file.path] = refusal
    # Voxels beside their header are no image by themselves, and no fault.
    claimed = {part.path for unit in units for part in unit.files[1:]}
    for path, reason in refusals.items():
        if path not in claimed:
            ledger.refuse(path, reason)
    units += dicom_units(looked, ledger, allowed)
    units.sort(key=lambda unit: min(order[file.path] for file in unit.files))
    stems = {ledger.entries[path].file.stem for path in order}
    return Archive(tuple(units), frozenset(stems | looked.series_uids))


def file_units(file: File, reader: FileReader, ledger: Ledger) -> list[Unit]:
    """Return a unit a frame of a file that is a volume; one of three axes is one."""
    shape, _ = reader.grid(file.path)
    parts = [ledger.entries[part] for part in reader.parts(file.path) if part in ledger.entries]
    frames: Sequence[int | None] = [None] if len(shape) == 3 else range(shape[3])
    return [
        Unit(
            files=(file, *(part.file for part in parts)),
            name=file.stem,
            identity=f"file|{file.source}|{file.name}|{frame}",
            patient=f"{file.source}|{file.stem}",
            frame=frame,
            reader=reader,
        )
        for frame in frames
    ]


def _headers(file: File) -> list[Header]:
    if not file.path.is_file():
        raise RefusedError(Code.UNREADABLE, "a link that leads to no file, or no regular file")
    if file.path.stat().st_size == 0:
        raise RefusedError(Code.NOT_AN_IMAGE, "an empty file")
    return read_headers(file.path)


class Looked:
    """The slices that were found so far, by series, and the series that lost one."""

    def __init__(self) -> None:
        self.files: dict[Path, File] = {}
        self.series: dict[tuple[str, ...], list[Header]] = defaultdict(list)
        self.broken: dict[tuple[str, ...], Path] = {}
        self.series_uids: set[str] = set()

    def add(self, file: File, headers: Sequence[Header]) -> None:
        """Add the slices of a file.

        Raises:
            RefusedError: If one of its images is none.
        """
        first = headers[0]
        self.series_uids.add(first.series_uid)
        try:
            require_slices(headers)
        except RefusedError as refusal:
            if refusal.code is Code.TRUNCATED and first.series_uid:
                self.broken[first.series_key] = file.path
            raise
        self.files[file.path] = file
        self.series[first.series_key] += headers


def dicom_units(looked: Looked, ledger: Ledger, allowed: Allowed) -> Iterator[Unit]:
    """Yield a unit for each volume of each series; what makes none is refused."""
    for key, headers in looked.series.items():
        if key in looked.broken:
            refuse_all((header.path for header in headers), looked.broken[key], ledger)
            continue
        for copy, found in divide(headers, allowed):
            if isinstance(found, Misfit):
                for header in found.headers:
                    ledger.refuse(header.path, found.refusal)
            else:
                yield _unit(found, looked.files, copy)


def refuse_all(paths: Iterable[Path], culprit: Path, ledger: Ledger) -> None:
    """Refuse the files of a volume of which one cannot be read; that one has its own verdict."""
    sentence = f"another file of its volume cannot be read: file {ledger.file_id(culprit)}"
    for path in paths:
        if path != culprit:
            ledger.refuse(path, RefusedError(Code.BROKEN_SERIES, sentence))


def _unit(stack: Stack, files: Mapping[Path, File], copy: int) -> Unit:
    first = stack.headers[0]
    members = tuple(files[header.path] for header in stack.headers)
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
    )
