from collections import Counter
from dataclasses import replace

import pytest

from medssl.data.phantom.cohort import cohort, has_label


def test_everything_asked_for_is_there(recipe):
    roles = Counter(item.role for item in cohort(recipe))
    assert roles == {
        "original": 30,
        "exact_duplicate": 2,
        "near_duplicate": 3,
        "truncated": 1,
        "missing_slice": 1,
        "secondary_capture": 1,
        "text_file": 1,
        "incoming": 1,
    }


@pytest.mark.parametrize(("share", "count"), [(0.0, 24), (0.25, 30), (0.5, 36), (1.0, 48)])
def test_that_share_of_the_subjects_has_two_series(recipe, share, count):
    items = cohort(replace(recipe, two_series=share))
    assert sum(item.role == "original" for item in items) == count


def test_more_subjects_leave_the_first_ones_alone(recipe):
    few = [i for i in cohort(replace(recipe, num_subjects=9)) if i.role == "original"]
    assert few == cohort(recipe)[: len(few)]


def test_numbers_are_unique_for_a_subject(recipe):
    keys = [(item.subject, item.number) for item in cohort(recipe)]
    assert len(set(keys)) == len(keys)


def test_labels_go_with_the_first_series_or_with_all(recipe):
    items = cohort(recipe)
    assert sum(has_label(recipe, item) for item in items) == 30
    first = replace(recipe, labels="first")
    assert sum(has_label(first, item) for item in items) == 24
