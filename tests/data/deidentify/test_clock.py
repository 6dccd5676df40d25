from datetime import date, datetime, timedelta

import pydicom
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.datadict import keyword_for_tag

from medssl.data.archive.pseudonyms import Pseudonyms
from medssl.data.deidentify.clock import Clock
from medssl.data.dicom.quiet import quietly

HIDDEN = Pseudonyms(b"0" * 32)
FIRST = date(2019, 5, 20)


def in_copy(first=FIRST, **said):
    found = pydicom.Dataset()
    with quietly():
        for keyword, value in said.items():
            setattr(found, keyword, value)
    clock = Clock.of(found, first, "study", HIDDEN)
    return {keyword_for_tag(tag): value for tag, value in clock.moments(found)}


def test_the_first_study_begins_at_noon_of_the_epoch_and_what_follows_keeps_its_distance():
    assert in_copy(
        StudyDate="20190520",
        StudyTime="081500",
        SeriesDate="20190520",
        SeriesTime="082000.5",
        AcquisitionDateTime="20190520235959.25+0200",
        ContentTime="0810",
    ) == {
        "StudyDate": "20000101",
        "StudyTime": "120000",
        "SeriesDate": "20000101",
        "SeriesTime": "120500.500000",
        "AcquisitionDateTime": "20000102034459.250000",
        "ContentTime": "115500",
    }


def test_a_later_study_is_as_many_days_later():
    later = in_copy(StudyDate="20200101", StudyTime="230000", SeriesDate="20200102")
    days = (date(2020, 1, 1) - FIRST).days
    assert later["StudyDate"] == f"{date(2000, 1, 1) + timedelta(days=days):%Y%m%d}"
    assert later["StudyTime"] == "120000"
    assert later["SeriesDate"] == f"{date(2000, 1, 2) + timedelta(days=days):%Y%m%d}"


@pytest.mark.parametrize("unknown", [{}, {"StudyTime": ""}, {"StudyTime": "000000"}])
def test_where_a_study_does_not_say_when_it_began_a_time_of_day_is_not_kept(unknown):
    said = {"StudyDate": "20190520", "AcquisitionTime": "134501", "ContentTime": "134511"}
    found = in_copy(**said, **unknown)
    first, second = (
        datetime.strptime(found[k], "%H%M%S") for k in ("AcquisitionTime", "ContentTime")
    )
    assert second - first in (timedelta(seconds=10), timedelta(seconds=10 - 86_400))
    assert found["AcquisitionTime"] not in ("134501", "014501")
    assert found == in_copy(**said, **unknown)


def test_broken_dates_are_left_out():
    assert in_copy(StudyDate="yesterday", StudyTime="noon", AcquisitionDateTime="2019") == {}


moments = st.datetimes(datetime(1990, 1, 1), datetime(2030, 1, 1))


@given(st.lists(moments, min_size=2, max_size=6), st.integers(-9999, 9999))
def test_a_copy_is_the_same_whenever_all_of_it_took_place(instants, moved):
    def copies(shift):
        shifted = sorted(instant + shift for instant in instants)
        begin = {"StudyDate": f"{shifted[0]:%Y%m%d}", "StudyTime": f"{shifted[0]:%H%M%S.%f}"}
        first = shifted[0].date()
        return [
            in_copy(first, **begin, AcquisitionDateTime=f"{instant:%Y%m%d%H%M%S.%f}")
            for instant in shifted
        ]

    assert copies(timedelta(0)) == copies(timedelta(days=moved))
