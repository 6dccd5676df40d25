"""What is asked of a PACS, in its words, and what it found.

Many a PACS ignores a key that it need not support, so what comes back is looked at again.

Source: DICOM PS3.4 2024, C.2.2.2 (attribute matching), C.6.2 (study root); PS3.18, 10.6 (search).
"""

from dataclasses import dataclass
from datetime import date


@dataclass(frozen=True, kw_only=True)
class Query:
    """Which series are wanted; nothing given is everything.

    Args:
        modalities: Any of these, in DICOM's codes.
        first_day: No study before it.
        last_day: No study after it.
        body_parts: Any of these BodyPartExamined.
    """

    modalities: tuple[str, ...] = ()
    first_day: date | None = None
    last_day: date | None = None
    body_parts: tuple[str, ...] = ()

    @property
    def study_dates(self) -> str:
        """The days as DICOM's range; empty without any."""
        if self.first_day is None and self.last_day is None:
            return ""
        first, last = (day and day.strftime("%Y%m%d") for day in (self.first_day, self.last_day))
        return f"{first or ''}-{last or ''}"

    def takes(self, series: "Series") -> bool:
        """Say whether a series is one of those that are wanted."""
        if self.modalities and series.modality not in self.modalities:
            return False
        wanted = {part.upper() for part in self.body_parts}
        return not wanted or series.body_part.upper() in wanted

    def takes_day(self, study_date: str) -> bool:
        """Say whether a study's date lies in the range; one that is not said is not known to."""
        if not self.study_dates:
            return True
        first, _, last = self.study_dates.partition("-")
        return bool(study_date) and (first or "0") <= study_date <= (last or "9")


@dataclass(frozen=True, kw_only=True)
class Series:
    """A series of a PACS.

    Args:
        study_uid: Its study.
        series_uid: Itself.
        modality: DICOM's code.
        body_part: BodyPartExamined, where it is said.
    """

    study_uid: str
    series_uid: str
    modality: str
    body_part: str
