import math
from collections import Counter

import numpy as np
import pytest

from medssl.data.targets import Candidate, targets


def candidates(seed=0):
    """Subjects with one piece to seven, in three splits, in no order."""
    rng = np.random.default_rng(seed)
    splits = ["train"] * 11 + ["val"] * 3 + ["test"] * 6
    found = [
        Candidate(f"{subject}-{piece}", f"s{subject}", split, int(rng.integers(2**63)))
        for subject, split in enumerate(splits)
        for piece in range(1 + subject % 7)
    ]
    return [found[row] for row in rng.permutation(len(found))]


@pytest.mark.parametrize("share", [0.5, 0.3, 0.9])
def test_each_split_has_its_share_and_each_subject_as_near_to_it_as_can_be(share):
    for seed in range(5):
        given = candidates(seed)
        chosen = targets(given, share)
        for split in ("train", "val", "test"):
            names = [one.name for one in given if one.split == split]
            assert len(chosen & set(names)) == round(share * len(names))
        pieces = Counter(one.subject for one in given)
        of_split = Counter(one.split for one in given)
        found = Counter(one.subject for one in given if one.name in chosen)
        for subject, split in {(one.subject, one.split) for one in given}:
            exact = round(share * of_split[split]) / of_split[split] * pieces[subject]
            assert math.floor(exact) <= found[subject] <= math.ceil(exact)


def test_neither_the_order_of_pieces_nor_another_split_plays_a_part():
    given = candidates()
    chosen = targets(given, 0.4)
    assert targets(given[::-1], 0.4) == chosen
    train = [one for one in given if one.split == "train"]
    assert targets(train, 0.4) == chosen & {one.name for one in train}


def test_every_piece_is_as_likely_to_be_a_target():
    counts = Counter(name for seed in range(400) for name in targets(candidates(seed), 0.5))
    assert len(counts) == len(candidates())
    assert min(counts.values()) > 140
    assert max(counts.values()) < 260


def test_pieces_of_equal_numbers_are_told_by_their_names():
    given = [Candidate(name, name, "train", 7) for name in "abcd"]
    chosen = targets(given, 0.5)
    assert targets(given[::-1], 0.5) == chosen
    assert len(chosen) == 2
