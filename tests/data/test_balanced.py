from collections import Counter
from itertools import chain

import pytest

from medssl.data.balanced import Balanced, rows_by_group
from medssl.data.manifest import Case, Manifest
from medssl.data.sampling import Epochs
from medssl.errors import ConfigError, DataError


def cohort(groups, subjects=None):
    subjects = range(len(groups)) if subjects is None else subjects
    return Manifest.of(
        Case(
            case_id=f"case{number}",
            digest=f"digest{number}",
            subject_id=f"subject{subject}",
            image_uri=f"{number}.b2nd",
            shape=[8, 8, 8],
            spacing_mm=[1.0, 1.0, 1.0],
            group=group,
            split="train",
        )
        for number, (group, subject) in enumerate(zip(groups, subjects, strict=True))
    )


def balanced(manifest, num_steps, batch_size, seed=0, column="group", **more):
    subjects = manifest.codes("subject_id")
    rows = rows_by_group(manifest, column)
    return Balanced(rows, Epochs(subjects, num_steps, batch_size, seed, **more))


GROUPS = ["target", *["background"] * 9, "target", "target"]


def test_each_batch_holds_as_many_of_each_group():
    batches = list(balanced(cohort(GROUPS), 50, 4, seed=0))
    for batch in batches:
        assert Counter(GROUPS[row] for _, row in batch) == {"background": 2, "target": 2}
        assert len({row for _, row in batch}) == 4
    counts = Counter(row for _, row in chain.from_iterable(batches))
    # Three targets share 100 draws, nine of the background as many.
    assert all(28 < counts[row] < 40 for row in (0, 10, 11))
    assert all(7 < counts[row] < 16 for row in range(1, 10))


def test_no_draw_comes_twice_however_rare_a_group_is():
    draws = list(chain.from_iterable(balanced(cohort(GROUPS), 60, 8, seed=0)))
    assert len(set(draws)) == len(draws) == 480


def test_within_a_group_a_batch_has_no_subject_twice():
    subjects = [0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 0, 6]
    for batch in balanced(cohort(GROUPS, subjects), 40, 4, seed=1):
        background = [subjects[row] for _, row in batch if GROUPS[row] == "background"]
        assert len(set(background)) == 2


def test_a_group_is_dealt_alike_whatever_the_other_holds():
    fewer = [group for group in GROUPS if group == "target"] + ["background"] * 4
    one, other = (
        [[draw for draw in batch if groups[draw[1]] == "target"] for batch in batches]
        for groups in (GROUPS, fewer)
        for batches in [balanced(cohort(groups), 20, 4, seed=0)]
    )
    place = {0: 0, 10: 1, 11: 2}
    assert [[(epoch, place[row]) for epoch, row in batch] for batch in one] == other


@pytest.mark.parametrize("last_batch", ["drop", "carry"])
def test_a_later_start_gives_the_tail_of_the_whole_run(last_batch):
    options = {"seed": 3, "last_batch": last_batch}
    whole = list(balanced(cohort(GROUPS), 20, 4, **options))
    for start in (0, 1, 5, 19, 20):
        tail = balanced(cohort(GROUPS), 20, 4, start_step=start, **options)
        assert list(tail) == whole[start:]
        assert len(tail) == 20 - start


def test_the_ranks_share_the_batches_and_each_has_of_every_group():
    whole = list(balanced(cohort(GROUPS), 12, 8, seed=0))
    ranks = [
        list(balanced(cohort(GROUPS), 12, 8, seed=0, rank=rank, num_ranks=2)) for rank in range(2)
    ]
    for batch, *shares in zip(whole, *ranks, strict=True):
        assert sorted(chain.from_iterable(shares)) == sorted(batch)
        for share in shares:
            assert Counter(GROUPS[row] for _, row in share) == {"background": 2, "target": 2}


@pytest.mark.parametrize(("batch_size", "num_ranks"), [(5, 1), (6, 2)])
def test_a_batch_that_groups_or_ranks_cannot_share_is_refused(batch_size, num_ranks):
    with pytest.raises(ConfigError, match=r"multiple of the 2 groups \['background', 'target'\]"):
        balanced(cohort(GROUPS), 1, batch_size, 0, num_ranks=num_ranks)


@pytest.mark.parametrize("column", ["shape", "populations"])
def test_what_is_no_column_of_text_is_refused(column):
    with pytest.raises(ConfigError, match="balanced_by: expected a column of text"):
        balanced(cohort(GROUPS), 1, 4, column=column)


def test_a_case_of_no_group_is_named():
    with pytest.raises(DataError, match="1 of 13 cases say no group, the first case12; leave"):
        balanced(cohort([*GROUPS, None]), 1, 4, 0)


def test_one_group_is_nothing_to_balance():
    with pytest.raises(DataError, match=r"expected several groups, got \['target'\]"):
        balanced(cohort(["target"] * 3), 1, 2, 0)
