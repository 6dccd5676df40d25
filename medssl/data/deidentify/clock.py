"""Dates and times of a copy: what lay between them is kept, when it was is not.

A patient's first study is on 1 January 2000, and every study begins at noon of its day.

Source: DICOM PS3.15 2024, E.3.6 (longitudinal temporal information with modified dates).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta

import pydicom
from pydicom.datadict import tag_for_keyword

from medssl.data.archive.pseudonyms import Pseudonyms
from medssl.data.dicom.dates import date_of, instant_of, time_of
from medssl.data.dicom.elements import study_date, text

EPOCH = date(2000, 1, 1)
NOON = time(12)
DAY_S = 86_400
PARTS = ("Study", "Series", "Acquisition", "Content")  # each has a date and a time
INSTANTS = ("AcquisitionDateTime", "FrameAcquisitionDateTime", "FrameReferenceDateTime")


@dataclass(frozen=True)
class Clock:
    """What turns the dates and times of a study into those of its copy.

    Args:
        begin: When the study began.
        shift: From there to where it begins in the copy.
    """

    begin: datetime
    shift: timedelta

    @classmethod
    def of(
        cls, found: pydicom.Dataset, first: date | None, study_id: str, hidden: Pseudonyms
    ) -> "Clock":
        """Return the clock of a file's study.

        Args:
            found: The file's data set.
            first: The day of the patient's first study, if it is known.
            study_id: Of the study.
            hidden: Says when a study begins that does not say it.
        """
        day = study_date(found) or first or EPOCH
        unknown = int(hidden("begin", study_id), 16) % DAY_S
        clock = time_of(text(found.get("StudyTime")))
        clock = None if clock == time() else clock  # midnight stands for an unknown time
        begin = datetime.combine(day, clock or time()) + timedelta(seconds=0 if clock else unknown)
        in_copy = EPOCH + (day - (first or day))
        return cls(begin, datetime.combine(in_copy, NOON) - begin)

    def moments(self, found: pydicom.Dataset) -> Iterator[tuple[int, str]]:
        """Yield the tags of the dates and times in a data set, with what a copy says instead."""
        for part in PARTS:
            day = date_of(text(found.get(f"{part}Date")))
            clock = time_of(text(found.get(f"{part}Time")))
            instant = datetime.combine(day or self.begin.date(), clock or self.begin.time())
            if day is not None:
                yield _tag(f"{part}Date"), _day(instant + self.shift)
            if clock is not None:
                yield _tag(f"{part}Time"), _clock(instant + self.shift)
        for name in INSTANTS:
            if (stamp := instant_of(text(found.get(name)))) is not None:
                yield _tag(name), _day(stamp + self.shift) + _clock(stamp + self.shift)


def _tag(keyword: str) -> int:
    return tag_for_keyword(keyword) or 0


def _day(instant: datetime) -> str:
    return f"{instant:%Y%m%d}"


def _clock(instant: datetime) -> str:
    return f"{instant:%H%M%S.%f}" if instant.microsecond else f"{instant:%H%M%S}"
