"""Crops of two groups: which items are targets, and batches that lack a group."""

import pytest
import torch

from medssl.data.crops import grouped, num_crops, stack
from medssl.data.crops.random import Random
from medssl.errors import DataError


def batch(cohort):
    source = Random(cohort.manifest, cohort.root, 0, crop_vox=(4, 4), num_items=2)
    return stack([source[0, row] for row in range(3)])


def test_each_item_is_of_its_cases_group(cohort):
    crops = batch(cohort)
    known = torch.tensor([[1.0, 5], [0, 0], [2, 6]])
    found = grouped(crops, torch.tensor([True, False, True]), known)
    assert found.is_target.tolist() == [True, True, False, False, True, True]
    assert found.attributes[:, 0].tolist() == [1, 1, 0, 0, 2, 2]
    assert found.crops is crops
    assert num_crops(found) == 12


@pytest.mark.parametrize(("flags", "said"), [([False] * 3, "0 targets"), ([True] * 3, "3 targets")])
def test_a_batch_without_one_of_the_groups_is_an_error_that_says_so(cohort, flags, said):
    with pytest.raises(DataError, match=f"expected targets and background .* {said} among 3 cases"):
        grouped(batch(cohort), torch.tensor(flags), torch.zeros(3, 0))
