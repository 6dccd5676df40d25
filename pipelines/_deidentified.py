"""The de-identified copy of an archive: the DICOM files of the cases of an index."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa

from medssl.config.stages.index import Root
from medssl.data.archive.days import first_studies
from medssl.data.archive.private import path_of
from medssl.data.archive.pseudonyms import Pseudonyms
from medssl.data.archive.units import Unit
from medssl.data.deidentify.copies import Origin, write_copy
from medssl.data.manifest import Case
from medssl.data.mirror import resolve
from medssl.data.verdicts import RefusedError
from medssl.errors import ConfigError
from pipelines._progress import track

COPIES = pa.schema(
    {
        "case_id": pa.string(),
        "status": pa.string(),
        "reason": pa.string(),
        "files": pa.int32(),
    },
    metadata={"medssl.copies": "1"},
)
TILED = "its slices are tiles of one image, and only private elements say how"
SHARED = "its files hold images of a case that is not copied"
NOT_DICOM = "it is no DICOM series"


@dataclass(frozen=True)
class Taken:
    """A case with what only `index` knows of it.

    Args:
        case: The case.
        study_date: The day of its study, if it is known.
        copy: Which of several series that carry one UID it is of.
        is_tiled: Whether its slices are tiles of one image.
        is_dicom: Whether it is a DICOM series, which there are copies of.
    """

    case: Case
    study_date: date | None = None
    copy: int = 0
    is_tiled: bool = False
    is_dicom: bool = True

    @classmethod
    def of(cls, case: Case, unit: Unit) -> "Taken":
        """Return a case with what its unit knows."""
        is_tiled = unit.stack is not None and unit.stack.headers[0].tiles_across > 0
        return cls(case, unit.study_date, unit.copy, is_tiled, unit.stack is not None)

    @property
    def reason(self) -> str:
        """Why it is not copied, or nothing."""
        if not self.is_dicom:
            return NOT_DICOM
        if "burned_in" in self.case.attributes:
            return f"text in its pixels is {self.case.attributes['burned_in']}"
        return TILED if self.is_tiled else ""


def check_folder(folder: Path, sources: Sequence[Root]) -> None:
    """Refuse a folder of copies that lies in a source, or in which one lies.

    Raises:
        ConfigError: If it does: the next index would take the copies for originals.
    """
    for number, source in enumerate(sources):
        if source.root is None:
            continue
        inner, outer = folder.resolve(), resolve(source.root).resolve()
        if inner.is_relative_to(outer) or outer.is_relative_to(inner):
            msg = (
                f"deidentified: expected a folder apart from sources.{number}.root; choose another"
            )
            raise ConfigError(msg)


def write_copies(
    taken: Sequence[Taken], files: pa.Table, folder: Path, hidden: Pseudonyms
) -> tuple[pa.Table, dict[str, int]]:
    """Write the copies that are not there yet, and remove those of cases that are left out.

    Args:
        taken: The cases.
        files: Which files each case takes something of, as in `private/files.parquet`.
        folder: Where copies go, as `<subject_id>/<study_id>/<series_id>/<file_id>.dcm`.
        hidden: The keyed hashes.

    Returns:
        A row a case, and how many files and how many cases for which reason there are.
    """
    first = first_studies((one.case.subject_id, one.study_date) for one in taken)
    of_case = _by_case(files)
    # A file that holds images of several cases is not copied for one of them alone.
    aside = [of_case.get(one.case.case_id, {}) for one in taken if one.reason]
    closed = {file_id for members in aside for file_id in members}
    counts: Counter[str] = Counter()
    rows: list[dict[str, Any]] = []
    copied: set[str] = set()
    for one in track(taken, total=len(taken), label="copies", unit="cases"):
        members = of_case.get(one.case.case_id, {})
        shared = SHARED if closed & members.keys() else ""
        origin = _origin(one, first.get(one.case.subject_id))
        reason = one.reason or shared or _copy(members, folder, origin, hidden)
        if reason:
            counts[f"not copied: {reason.split(':')[0]}"] += 1
            for file_id in members:
                (folder / origin.folder / f"{file_id}.dcm").unlink(missing_ok=True)
        else:
            copied |= members.keys()
        status = "left out" if reason else "copied"
        number = 0 if reason else len(members)
        rows.append(
            {"case_id": one.case.case_id, "status": status, "reason": reason, "files": number}
        )
    return pa.Table.from_pylist(rows, COPIES), {"copied files": len(copied)} | counts


def _origin(one: Taken, first: date | None) -> Origin:
    return Origin(
        subject_id=one.case.subject_id,
        study_id=str(one.case.study_id),
        series_id=str(one.case.series_id),
        copy=one.copy,
        first_study=first,
    )


def _copy(members: Mapping[str, Path], folder: Path, origin: Origin, hidden: Pseudonyms) -> str:
    """Copy files; return why that cannot be done, if so."""
    try:
        for file_id, source in members.items():
            write_copy(source, folder / origin.folder / f"{file_id}.dcm", origin, hidden)
    except RefusedError as refusal:
        return f"a file of it cannot be copied: {refusal.sentence}"
    return ""


def _by_case(files: pa.Table) -> Mapping[str, dict[str, Path]]:
    found: dict[str, dict[str, Path]] = {}
    for row in files.select(["case_id", "file_id", "path", "position"]).to_pylist():
        if row["position"] is not None:
            found.setdefault(row["case_id"], {})[row["file_id"]] = path_of(row["path"])
    return found
