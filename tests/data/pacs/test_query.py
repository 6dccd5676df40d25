"""What is asked of a PACS, and what of its answers is taken."""

from datetime import date

import pytest

from medssl.data.pacs import Pacs
from medssl.data.pacs.query import Query, find_series, find_studies, is_in_time, is_wanted
from medssl.errors import DataError

FIRST, LAST = date(2020, 1, 31), date(2020, 12, 1)


class Listed:
    """A PACS that says what it is given, whatever is asked."""

    address = "LISTED"

    def __init__(self, **levels):
        self.levels, self.asked = levels, []

    def search(self, level, keys):
        self.asked.append((level, dict(keys)))
        return [dict.fromkeys(keys, "") | row for row in self.levels[level]]

    def retrieve(self, series, missing, received):
        raise NotImplementedError


@pytest.mark.parametrize(
    ("first", "last", "days"),
    [
        (FIRST, LAST, "20200131-20201201"),
        (FIRST, None, "20200131-"),
        (None, LAST, "-20201201"),
        (None, None, ""),
    ],
)
def test_a_range_of_days_is_written_as_dicom_does(first, last, days):
    assert Query(first=first, last=last).days == days


@pytest.mark.parametrize(
    ("day", "is_in"),
    [
        ("20200130", False),
        ("20200131", True),
        ("2020.06.01", True),
        ("20201201", True),
        ("20201202", False),
        ("", True),  # not said: as the PACS matched it
    ],
)
def test_both_ends_of_a_range_are_in_it(day, is_in):
    assert is_in_time(day, Query(first=FIRST, last=LAST)) is is_in
    assert is_in_time(day, Query(modality="CT"))


@pytest.mark.parametrize(
    ("modality", "part", "is_in"),
    [
        ("CT", "CHEST", True),
        ("", "CHEST", True),
        ("CT", "Chest ", True),
        ("MR", "CHEST", False),
        ("CT", "CHESTABDOMEN", False),
        ("CT", "", False),
    ],
)
def test_a_series_is_matched_by_what_it_says(modality, part, is_in):
    row = {"Modality": modality, "BodyPartExamined": part}
    assert is_wanted(row, Query(modality="CT", body_part="CHEST")) is is_in


def test_studies_come_once_and_in_time_only():
    days = {"1.1": "20200601", "1.2": "20190601", "1.3": "20201201"}
    said = [{"StudyInstanceUID": uid, "StudyDate": day} for uid, day in days.items()]
    pacs = Listed(STUDY=said + said)
    assert isinstance(pacs, Pacs)
    assert find_studies(pacs, Query(modality="CT", first=FIRST, last=LAST)) == ["1.1", "1.3"]
    asked = {
        "StudyInstanceUID": "",
        "StudyDate": "20200131-20201201",
        "ModalitiesInStudy": "CT",
    }
    assert pacs.asked == [("STUDY", asked)]


def series(*rows):
    names = ("SeriesInstanceUID", "Modality", "BodyPartExamined")
    return [dict(zip(names, row, strict=True)) for row in rows]


def test_series_come_once_with_their_instances():
    said = series(("1.1", "CT", "CHEST"), ("1.2", "CT", "HEAD"), ("1.1", "CT", "CHEST"))
    images = [{"SOPInstanceUID": uid} for uid in ("1.1.2", "1.1.1", "1.1.2")]
    pacs = Listed(SERIES=said, IMAGE=images)
    (found,) = find_series(pacs, Query(body_part="CHEST"), iter(["1"]))
    assert (found.study_uid, found.series_uid) == ("1", "1.1")
    assert found.instances == ("1.1.2", "1.1.1")
    assert [level for level, _ in pacs.asked] == ["SERIES", "IMAGE"]
    assert pacs.asked[0][1]["StudyInstanceUID"] == "1"
    assert pacs.asked[1][1]["SeriesInstanceUID"] == "1.1"


def test_a_pacs_that_says_no_body_part_cannot_be_asked_for_one():
    pacs = Listed(SERIES=series(("1.1", "CT", ""), ("1.2", "CT", "")))
    with pytest.raises(DataError, match="says none of any of 2; leave body_part out"):
        find_series(pacs, Query(body_part="CHEST"), iter(["1"]))


def test_finding_nothing_is_an_error_that_repeats_the_query():
    query = Query(modality="CT", first=FIRST, body_part="CHEST")
    asked = "modality CT, days 20200131-, body part CHEST"
    with pytest.raises(DataError, match=f"LISTED holds no study of them: {asked}"):
        find_studies(Listed(STUDY=[]), query)
    with pytest.raises(DataError, match=f"LISTED holds no series of them: {asked}"):
        find_series(Listed(SERIES=series(("1.1", "MR", "CHEST"))), query, iter(["1"]))
