"""What is asked of a PACS: by modality, dates and body part; at study, series and image level.

Source: DICOM PS3.4 2024, C.2.2.2 (matching), C.6.2 (Study Root).

A PACS must match study dates and a series' modality; the modalities of a study and the body part
it may pass over. Whatever it says is therefore matched here again.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date

from medssl.data.pacs import Pacs, Series
from medssl.errors import DataError


@dataclass(frozen=True, kw_only=True)
class Query:
    """Which series are wanted.

    Args:
        modality: DICOM's code of the series.
        first: The earliest day of the study.
        last: The latest day of the study.
        body_part: What was examined, in DICOM's word for it.
    """

    modality: str | None = None
    first: date | None = None
    last: date | None = None
    body_part: str | None = None

    @property
    def days(self) -> str:
        """The range of dates in DICOM's form; empty if every day will do."""
        if self.first is None and self.last is None:
            return ""
        return "-".join(f"{day:%Y%m%d}" if day else "" for day in (self.first, self.last))


def find_studies(pacs: Pacs, query: Query) -> list[str]:
    """Return the UIDs of the studies that may hold what is wanted.

    Raises:
        DataError: If there is none.
    """
    keys = {
        "StudyInstanceUID": "",
        "StudyDate": query.days,
        "ModalitiesInStudy": query.modality or "",
    }
    found = [row for row in pacs.search("STUDY", keys) if is_in_time(row["StudyDate"], query)]
    if not found:
        raise DataError(_nothing(pacs, query, "study of them"))
    return list(dict.fromkeys(row["StudyInstanceUID"] for row in found))


def find_series(pacs: Pacs, query: Query, studies: Iterator[str]) -> list[Series]:
    """Return the wanted series of these studies with their instances.

    Raises:
        DataError: If there is none, or none says a body part where one is asked for.
    """
    asked = {"SeriesInstanceUID": "", "Modality": query.modality or "", "BodyPartExamined": ""}
    series, says_parts, num_seen = {}, False, 0
    for study in studies:
        for row in pacs.search("SERIES", {"StudyInstanceUID": study, **asked}):
            num_seen, says_parts = num_seen + 1, says_parts or bool(row["BodyPartExamined"])
            if is_wanted(row, query) and row["SeriesInstanceUID"] not in series:
                uid = row["SeriesInstanceUID"]
                series[uid] = Series(study, uid, _instances(pacs, study, uid))
    if query.body_part and num_seen and not says_parts:
        msg = (
            f"{pacs.address}: expected the body part of each series, it says none of any of "
            f"{num_seen}; leave body_part out of the query"
        )
        raise DataError(msg)
    if not any(one.instances for one in series.values()):
        raise DataError(_nothing(pacs, query, "series of them"))
    return list(series.values())


def is_in_time(day: str, query: Query) -> bool:
    """Return whether a study's date fits; one that is not said is taken as the PACS matched it."""
    plain = day.replace(".", "")  # ACR-NEMA wrote 2020.01.31
    first, last = (
        "" if limit is None else f"{limit:%Y%m%d}" for limit in (query.first, query.last)
    )
    return not plain or (first <= plain and (not last or plain <= last))


def is_wanted(row: Mapping[str, str], query: Query) -> bool:
    """Return whether a series fits; one that says no body part is not of the one asked for."""
    modality, part = (row[name].strip().upper() for name in ("Modality", "BodyPartExamined"))
    fits = query.modality is None or modality in ("", query.modality)
    return fits and (query.body_part is None or part == query.body_part)


def _instances(pacs: Pacs, study_uid: str, series_uid: str) -> tuple[str, ...]:
    keys = {
        "StudyInstanceUID": study_uid,
        "SeriesInstanceUID": series_uid,
        "SOPInstanceUID": "",
    }
    return tuple(dict.fromkeys(row["SOPInstanceUID"] for row in pacs.search("IMAGE", keys)))


def _nothing(pacs: Pacs, query: Query, what: str) -> str:
    asked = {"modality": query.modality, "days": query.days, "body part": query.body_part}
    said = ", ".join(f"{name} {value}" for name, value in asked.items() if value)
    return f"{pacs.address} holds no {what}: {said}; ask for less, or see whether they are there"
