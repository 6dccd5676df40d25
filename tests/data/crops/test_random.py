import numpy as np
import pytest
import torch

from medssl.data.crops.random import Random


def test_views_lie_at_places_of_their_own_or_at_one(cohort, where):
    def begins(shared):
        source = Random(
            cohort.manifest, cohort.root, 0, crop_vox=(4, 4, 4), num_views=3, shared_crop=shared
        )
        return [tuple(where(view).min(axis=0)) for view in source[0, 3].image[0]]

    assert len(set(begins(shared=False))) == 3
    assert len(set(begins(shared=True))) == 1


def test_a_view_is_a_block_as_it_is_in_the_volume(cohort, where):
    view = Random(cohort.manifest, cohort.root, 0, crop_vox=(4, 3, 5))[2, 2].image[0, 1, 0]
    begin = where(view).min(axis=0)
    offsets = where(view).reshape(4, 3, 5, 3) - begin
    assert np.array_equal(offsets, np.moveaxis(np.indices((4, 3, 5)), 0, -1))


def test_views_of_a_slice_share_it_even_where_they_share_no_place(cohort, where):
    source = Random(cohort.manifest, cohort.root, 0, crop_vox=(4, 4))
    slices = [np.unique(where(source[epoch, 3].image)[:, 2]) for epoch in range(30)]
    assert {len(found) for found in slices} == {1}
    assert len(np.unique(slices)) > 10


def test_views_differ_in_the_seed_of_their_augmentation(cohort):
    crops = Random(cohort.manifest, cohort.root, 0, crop_vox=(4, 4), shared_crop=True)[0, 3]
    assert torch.equal(crops.image[:, 0], crops.image[:, 1])
    assert crops.seed[0, 0] != crops.seed[0, 1]


def test_no_views_are_refused(cohort):
    with pytest.raises(ValueError, match="num_views must be at least 1, got 0"):
        Random(cohort.manifest, cohort.root, 0, crop_vox=(4, 4), num_views=0)


@pytest.mark.parametrize("crop_vox", [(4, 4), (4, 4, 4)])
def test_several_items_are_patches_of_one_case_and_the_first_is_what_it_is_alone(cohort, crop_vox):
    one = Random(cohort.manifest, cohort.root, 0, crop_vox=crop_vox)[3, 3]
    several = Random(cohort.manifest, cohort.root, 0, crop_vox=crop_vox, num_items=4)[3, 3]
    assert all(torch.equal(few[:1], many[:1]) for few, many in zip(one, several, strict=True))
    assert several.image.shape[:2] == (4, 2)
    assert len(torch.unique(several.start.flatten(0, 1), dim=0)) > 4
    assert several.subject.tolist() == one.subject.tolist() * 4
    assert several.volume.tolist() == [0] * 4


def test_a_crop_begins_where_it_says(cohort, where):
    for crop_vox in ((4, 4), (4, 3, 5)):
        crops = Random(cohort.manifest, cohort.root, 0, crop_vox=crop_vox, num_items=3)[1, 3]
        for image, start in zip(crops.image.flatten(0, 1), crops.start.flatten(0, 1), strict=True):
            assert where(image).min(axis=0).tolist() == start.tolist()
