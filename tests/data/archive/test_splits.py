import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medssl.data.archive.splits import Rule, assign, connected
from medssl.errors import DataError

rows = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 8)), min_size=1, max_size=12)


def reached(subjects, digests, start):
    """The cases that a walk over shared subjects and digests reaches."""
    found = {start}
    while True:
        more = {
            other
            for other in range(len(subjects))
            for one in found
            if subjects[one] == subjects[other] or digests[one] == digests[other]
        }
        if more == found:
            return found
        found = more


@given(rows)
def test_what_shares_a_subject_or_a_digest_is_one_group(rows):
    subjects, digests = zip(*((str(a), str(b)) for a, b in rows), strict=True)
    groups = connected(subjects, digests)
    for row, group in enumerate(groups):
        assert {other for other, g in enumerate(groups) if g == group} == reached(
            subjects, digests, row
        )
    assert list(dict.fromkeys(groups)) == list(range(max(groups) + 1))  # in order of appearance


def test_a_shuffled_choice_is_the_generators():
    rule = Rule(rule="shuffled", test=2, val=0.25, seed=7)
    split = assign(list(range(8)), [False] * 8, rule)
    order = np.random.default_rng(7)
    test = set(order.permutation(8)[:2].tolist())
    rest = np.array([n for n in range(8) if n not in test])
    val = set(rest[order.permutation(6)[:2]].tolist())
    assert [n for n, name in enumerate(split) if name == "test"] == sorted(test)
    assert [n for n, name in enumerate(split) if name == "val"] == sorted(val)


def test_a_small_share_is_one_subject_and_none_is_none():
    rule = Rule(rule="evenly_spaced", test=0.01, val=0.0, seed=0)
    assert assign([0, 1, 2], [False] * 3, rule).count("test") == 1
    assert assign([0, 1, 2], [False] * 3, rule).count("val") == 0


def test_unlabeled_groups_are_for_training_where_there_are_labels():
    rule = Rule(rule="evenly_spaced", test=2, val=1, seed=0)
    assert assign([0, 1, 1, 2, 3], [False, False, True, True, True], rule) == [
        "train", "test", "test", "val", "test"
    ]  # fmt: skip


def test_more_than_there_are_is_refused():
    rule = Rule(rule="shuffled", test=2, val=2, seed=0)
    with pytest.raises(DataError, match=r"ask for 2 and 2 subjects, there are 3 .* with a label"):
        assign([0, 1, 2, 3], [True, True, True, False], rule)


def test_what_the_archive_says_stands_and_the_others_are_chosen_from():
    rule = Rule(rule="evenly_spaced", test=1, val=1, seed=0)
    own = ["train", "", "test", "", "", ""]
    split = assign(list(range(6)), [False] * 6, rule, own)
    assert (split[0], split[2]) == ("train", "test")
    assert sorted(split[row] for row in (1, 3, 4, 5)) == ["test", "train", "train", "val"]


def test_of_several_things_said_of_a_group_the_furthest_from_training_counts():
    rule = Rule(rule="evenly_spaced", test=0, val=0, seed=0)
    own = ["train", "val", "val", "test", "", "val"]
    split = assign([0, 0, 1, 1, 2, 2], [False] * 6, rule, own)
    assert split == ["val", "val", "test", "test", "val", "val"]


def test_a_choice_among_nothing_is_an_error():
    rule = Rule(rule="shuffled", test=0.5, val=0, seed=0)
    with pytest.raises(DataError, match="the archive says itself which cases are for what"):
        assign([0, 1], [True, True], rule, ["train", "test"])
