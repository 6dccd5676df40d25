import numpy as np
import pytest
import torch

from medssl.data.augment import augment_multi
from medssl.data.correspondence import correspond, grid
from medssl.data.crops import CropSource, MultiCrops, num_crops, stack
from medssl.data.crops.multi_crop import MultiCrop
from medssl.data.views.affine import Affine


def made(cohort, crop_vox=(6, 5, 4), local_crop_vox=(3, 2, 2), **more):
    return MultiCrop(
        cohort.manifest, cohort.root, 0, crop_vox=crop_vox, local_crop_vox=local_crop_vox, **more
    )


def test_an_item_has_crops_of_both_sizes(cohort):
    source = made(cohort, num_global=2, num_local=5)
    assert isinstance(source, CropSource)
    crops = source[0, 3]
    assert crops.global_crops.image.shape == (1, 2, 1, 6, 5, 4)
    assert crops.local_crops.image.shape == (1, 5, 1, 3, 2, 2)
    seeds = torch.cat([crops.global_crops.seed, crops.local_crops.seed], dim=1)
    assert len(torch.unique(seeds)) == 7


def test_all_crops_begin_where_they_say_and_not_at_one_place(cohort, where):
    for crop_vox, local_crop_vox in (((6, 5, 4), (3, 2, 2)), ((6, 5), (3, 2))):
        for kind in made(cohort, crop_vox, local_crop_vox)[1, 3]:
            begins = [where(image).min(axis=0).tolist() for image in kind.image[0]]
            assert begins == kind.start[0].tolist()
            assert len(np.unique(begins, axis=0)) > 1


def test_local_crops_begin_wherever_they_fit(cohort):
    source = made(cohort)
    starts = torch.cat([source[epoch, 1].local_crops.start[0] for epoch in range(100)])
    fits = [list(range(side - crop + 1)) for side, crop in zip((9, 16, 8), (3, 2, 2), strict=True)]
    assert [torch.unique(axis).tolist() for axis in starts.T] == fits


def test_crops_of_a_slice_are_of_one_slice(cohort, where):
    source = made(cohort, (6, 5), (3, 2))
    slices = [
        {k for kind in source[epoch, 3] for k in where(kind.image)[:, 2].tolist()}
        for epoch in range(30)
    ]
    assert {len(found) for found in slices} == {1}
    assert len(set.union(*slices)) > 8


def test_cases_are_joined_size_by_size(cohort):
    source = made(cohort)
    batch = stack([source[0, 0], source[0, 4]])
    assert isinstance(batch, MultiCrops)
    for kind, one, other in zip(batch, source[0, 0], source[0, 4], strict=True):
        assert torch.equal(kind.image, torch.cat([one.image, other.image]))
        assert kind.volume.tolist() == [0, 1]
        assert kind.subject.tolist() == [0, 0]


def test_it_is_known_where_a_local_view_lies_in_a_global_one(cohort, where):
    crops = made(cohort)[2, 3]
    views = augment_multi(crops, [Affine(rotation_deg=0, scale=(1, 1), shift=0, flip=(0.5,) * 3)])
    found = correspond((views.local_views, 1), (views.global_views, 0), grid(views.local_views))
    small, large = views.local_views.images[1, 0, 0], views.global_views.images[0, 0, 0]
    places = where(small)
    inside = [set(map(tuple, where(large).tolist())) >= {tuple(p)} for p in places.tolist()]
    assert found.inside[0].tolist() == inside
    there = found.places[0][found.inside[0]].round().long()
    assert torch.equal(large[tuple(there.T)], small.flatten()[found.inside[0]])


def test_the_first_global_views_may_stay_as_they_were_cut(cohort):
    crops = made(cohort)[0, 3]
    views = augment_multi(crops, [Affine(shift=0.3)], plain_views=1)
    assert torch.equal(views.global_views.images[0], crops.global_crops.image[:, 0])
    for images, cut in (
        (views.global_views.images[1], crops.global_crops.image[:, 1]),
        (views.local_views.images[0], crops.local_crops.image[:, 0]),
    ):
        assert not torch.equal(images, cut)


@pytest.mark.parametrize("local_crop_vox", [(3, 2), (7, 2, 2), (0, 2, 2)])
def test_local_crops_that_are_none_are_refused(cohort, local_crop_vox):
    with pytest.raises(ValueError, match="local_crop_vox must be 3 counts, none above"):
        made(cohort, local_crop_vox=local_crop_vox)


def test_crops_of_both_sizes_count(cohort):
    batch = stack([made(cohort, num_global=2, num_local=5)[0, row] for row in (0, 4)])
    assert num_crops(batch) == 14
    assert num_crops(batch.local_crops) == 10
