"""Dates of studies as whole days from each patient's first one; an absolute date leaves nowhere."""

from collections.abc import Iterable, Sequence
from datetime import date


def first_studies(rows: Iterable[tuple[str, date | None]]) -> dict[str, date]:
    """Return the earliest date of each subject that has one.

    Args:
        rows: The subject and the date, if it is known, of each case.
    """
    first: dict[str, date] = {}
    for subject, day in rows:
        if day is not None:
            first[subject] = min(day, first.get(subject, day))
    return first


def study_days(rows: Sequence[tuple[str, date | None]]) -> list[int | None]:
    """Return each case's days since its subject's earliest study; none where it has no date.

    Args:
        rows: The subject and the date, if it is known, of each case.
    """
    first = first_studies(rows)
    return [None if day is None else (day - first[subject]).days for subject, day in rows]
