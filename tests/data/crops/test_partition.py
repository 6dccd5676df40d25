import numpy as np
import pytest
import torch

from medssl.data.crops.partition import Partition
from medssl.errors import DataError


def made(cohort, crop_vox, **options):
    return Partition(cohort.manifest, cohort.root, 0, crop_vox=crop_vox, **options)


@pytest.mark.parametrize("num_parts", [3, 4, 7])
def test_a_slice_lies_in_its_part_and_every_slice_in_one(cohort, where, num_parts):
    source = made(cohort, (4, 4), num_parts=num_parts)
    seen = set()
    for epoch in range(60):
        crops = source[epoch, 2]
        assert crops.part.tolist() == list(range(num_parts))
        for part, item in zip(crops.part.tolist(), crops.image, strict=True):
            (k,) = np.unique(where(item)[:, 2]).tolist()
            assert part == num_parts * k // 11
            seen.add(k)
    assert seen == set(range(11))


def test_the_middle_of_a_block_lies_in_its_part(cohort, where):
    source = made(cohort, (4, 4, 3), num_parts=4)
    for epoch in range(30):
        for part, item in enumerate(source[epoch, 3].image):
            for view in item:
                k = np.unique(where(view)[:, 2]).tolist()
                assert len(k) == 3
                assert part == 4 * k[1] // 16


def test_a_block_too_deep_for_the_outer_parts_leaves_the_volume_as_little_as_can_be(cohort):
    image = made(cohort, (4, 4, 10), num_parts=4)[0, 3].image[:, 0, 0]
    padded = (image == 0).all(2).all(1).sum(dim=1)
    # Around slice 3, the last of the first part, two of ten slices are missing; around slice
    # 12, the first of the last part, one is.
    assert padded.tolist() == [2, 0, 0, 1]


def test_the_views_of_an_item_share_the_slice_but_not_the_place(cohort, where):
    item = made(cohort, (4, 4))[0, 3].image[2]
    one, other = (where(view) for view in item)
    assert np.unique(one[:, 2]) == np.unique(other[:, 2])
    assert not np.array_equal(one, other)
    shared = made(cohort, (4, 4), shared_crop=True)[0, 3].image[2]
    assert torch.equal(shared[0], shared[1])


def test_fewer_slices_than_parts_are_refused_before_any_is_read(cohort):
    with pytest.raises(DataError, match=r"num_parts=9 .* 1 of 5 .* case1 has shape \[9, 16, 8\]"):
        made(cohort, (4, 4), num_parts=9)


def test_a_crop_begins_where_it_says(cohort, where):
    for crop_vox in ((4, 4), (4, 3, 2)):
        crops = made(cohort, crop_vox)[1, 3]
        for image, start in zip(crops.image.flatten(0, 1), crops.start.flatten(0, 1), strict=True):
            assert where(image).min(axis=0).tolist() == start.tolist()
