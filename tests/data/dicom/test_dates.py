from datetime import date, datetime, time

import pytest

from medssl.data.dicom.dates import date_of, instant_of, time_of


@pytest.mark.parametrize(
    ("text", "day"),
    [
        ("20240229", date(2024, 2, 29)),
        ("2024.02.29", date(2024, 2, 29)),
        (" 20240229 ", date(2024, 2, 29)),
        ("20230229", None),
        ("00010101", None),
        ("99991231", None),
        ("", None),
        ("Zephyr", None),
        ("2024022", None),
    ],
)
def test_a_date_is_one_or_none(text, day):
    assert date_of(text) == day


@pytest.mark.parametrize(
    ("text", "clock"),
    [
        ("134501.5", time(13, 45, 1, 500_000)),
        ("13:45:01", time(13, 45, 1)),
        ("1345", time(13, 45)),
        ("13", time(13)),
        ("246060", None),
        ("", None),
        ("noon", None),
    ],
)
def test_a_time_is_one_or_none(text, clock):
    assert time_of(text) == clock


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("20240229134501.25+0100", datetime(2024, 2, 29, 13, 45, 1, 250_000)),
        ("20240229", datetime(2024, 2, 29)),
        ("202402291345", datetime(2024, 2, 29, 13, 45)),
        ("2024", None),
        ("20240229Zephyr", None),
    ],
)
def test_an_instant_is_one_or_none(text, instant):
    assert instant_of(text) == instant
