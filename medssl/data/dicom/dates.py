"""Dates and times of day as DICOM writes them, and as it wrote them once; a broken one is none.

Source: DICOM PS3.5 2024, 6.2 (DA, TM, DT).
"""

import re
from datetime import date, datetime, time

DATE = re.compile(r"(\d{4})[.\-]?(\d\d)[.\-]?(\d\d)")
YEARS = range(1895, 2200)  # in which images were made; others are placeholders
TIME = re.compile(r"(\d\d):?(\d\d)?:?(\d\d)?(?:\.(\d{1,6}))?")


def date_of(text: str) -> date | None:
    """Return the date that a text is; the old form 2001.02.03 counts."""
    found = DATE.fullmatch(text.strip())
    if found is None or int(found[1]) not in YEARS:
        return None
    try:
        return date(*(int(part) for part in found.groups()))
    except ValueError:
        return None


def time_of(text: str) -> time | None:
    """Return the time of day that a text is; hours alone are enough."""
    found = TIME.fullmatch(text.strip())
    if found is None:
        return None
    hour, minute, second = (int(part or 0) for part in found.groups()[:3])
    try:
        return time(hour, minute, second, int((found[4] or "").ljust(6, "0")))
    except ValueError:
        return None


def instant_of(text: str) -> datetime | None:
    """Return the instant that a text of date and time is; its distance from UTC is left out."""
    digits, fraction = re.sub(r"[+\-]\d{4}$", "", text.strip()).partition(".")[::2]
    day = date_of(digits[:8])
    clock = time_of(f"{digits[8:]}{'.' if fraction else ''}{fraction}" if digits[8:] else "00")
    return None if day is None or clock is None else datetime.combine(day, clock)
