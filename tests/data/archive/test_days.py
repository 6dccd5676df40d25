from datetime import date, timedelta

from hypothesis import given
from hypothesis import strategies as st

from medssl.data.archive.days import first_studies, study_days

dates = st.none() | st.dates(date(1990, 1, 1), date(2030, 1, 1))
rows = st.lists(st.tuples(st.sampled_from("abc"), dates), max_size=12)


@given(rows)
def test_a_day_is_counted_from_the_subjects_earliest_dated_study(rows):
    expected = []
    for subject, day in rows:
        of_subject = [other for name, other in rows if name == subject and other is not None]
        expected.append(None if day is None else (day - min(of_subject)).days)
    assert study_days(rows) == expected


@given(rows, st.integers(-9999, 9999))
def test_days_say_nothing_of_when_a_subject_was_first_seen(rows, moved):
    later = [(name, day and day + timedelta(days=moved)) for name, day in rows]
    assert study_days(later) == study_days(rows)


def test_a_subject_without_dates_has_no_first_study():
    assert first_studies([("a", None), ("b", date(2020, 2, 3))]) == {"b": date(2020, 2, 3)}
