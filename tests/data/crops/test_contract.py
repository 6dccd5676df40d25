"""What every crop source keeps, found by its file alone: a new one is tested unasked."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
import torch
from crop_sources import FAMILY, crop_source

from medssl import lookup
from medssl.data.crops import Crops, CropSource, stack
from medssl.data.manifest import Manifest

CROPS = [(6, 5), (6, 5, 4)]


def made(cohort, name, crop_vox, seed=0, manifest=None):
    if name == "slices" and len(crop_vox) == 3 and 0 not in crop_vox:
        pytest.skip("slices have two axes")
    source = crop_source(cohort, name, crop_vox, seed, manifest)
    return Globals(source) if name == "multi_crop" else source


class Globals:
    """The global crops of a source of two sizes, which are crops like others'."""

    def __init__(self, source):
        self.source = source
        self.spatial_dims, self.in_channels = source.spatial_dims, source.in_channels

    def __getitem__(self, draw):
        return self.source[draw].global_crops


def same(one, other):
    return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


@pytest.fixture(params=lookup.names(FAMILY))
def name(request):
    return request.param


def test_the_family_is_what_it_was():
    assert lookup.names(FAMILY) == [
        "frames",
        "labeled",
        "multi_crop",
        "partition",
        "random",
        "slices",
    ]


@pytest.mark.parametrize("crop_vox", CROPS)
def test_a_draw_is_a_batch_of_one_case(cohort, name, crop_vox):
    source = made(cohort, name, crop_vox)
    assert isinstance(source, CropSource)
    assert source.spatial_dims == len(crop_vox)
    crops = source[3, 1]
    assert tuple(crops.image.shape[-len(crop_vox) - 1 :]) == (source.in_channels, *crop_vox)
    assert crops.image.dtype == torch.float32
    assert {len(field) for field in crops} == {len(crops.seed)}
    assert len(torch.unique(crops.seed)) == crops.seed.numel()


@pytest.mark.parametrize("crop_vox", CROPS)
def test_a_draw_is_a_function_of_seed_epoch_and_case(cohort, name, crop_vox):
    def drawn(seed, epochs):
        source = made(cohort, name, crop_vox, seed=seed)
        return stack([source[epoch, 3] for epoch in epochs])

    once = drawn(0, range(5))
    assert same(once, drawn(0, range(5)))
    for other in (drawn(1, range(5)), drawn(0, range(5, 10))):
        assert not torch.isin(once.seed, other.seed).any()
        assert not torch.equal(once.image, other.image)


@pytest.mark.parametrize("crop_vox", CROPS)
def test_a_case_is_drawn_alike_under_every_key_of_the_pseudonyms(cohort, name, crop_vox):
    table = cohort.manifest.table
    names = pa.array([f"{position:016x}" for position in range(len(table))])
    column = table.column_names.index("case_id")
    renamed = Manifest(table.set_column(column, table.schema.field("case_id"), names))
    one, other = made(cohort, name, crop_vox), made(cohort, name, crop_vox, manifest=renamed)
    assert same(one[7, 2], other[7, 2])


def test_the_other_cases_and_the_draws_before_cannot_be_seen(cohort, name):
    crop_vox = (6, 5) if name == "slices" else (6, 5, 4)
    fewer = made(cohort, name, crop_vox, manifest=cohort.manifest.keep(np.array([4, 2])))
    every = made(cohort, name, crop_vox)
    _ = every[0, 2], every[7, 1]
    one, other = fewer[7, 1], every[7, 2]
    assert torch.equal(one.image, other.image)
    assert torch.equal(one.seed, other.seed)


def test_crops_begin_wherever_they_fit(cohort, name, where):
    source = made(cohort, name, (6, 5, 4))
    images = [source[epoch, 1].image.reshape(-1, 6, 5, 4) for epoch in range(150)]
    begins = np.array([where(image).min(axis=0) for image in torch.cat(images)])
    expected = [list(range(number)) for number in (9 - 5, 16 - 4, 8 - 3)]
    assert [np.unique(axis).tolist() for axis in begins.T] == expected


@pytest.mark.parametrize("crop_vox", [(32, 5), (32, 5, 4)])
def test_a_crop_that_does_not_fit_is_centered_among_zeros(cohort, name, crop_vox):
    image = made(cohort, name, crop_vox)[0, 1].image.flatten(0, -len(crop_vox) - 1)
    filled = (image != 0).flatten(2).any(2) if len(crop_vox) == 3 else (image != 0).any(2)
    assert filled.nonzero()[:, 1].unique().tolist() == list(range(11, 20))


def test_slices_come_from_those_that_take_part(cohort, name, where):
    allowed = Manifest.of(replace(case, slices=[2, 5]) for case in cohort.manifest)
    source = made(cohort, name, (6, 5), manifest=allowed)
    drawn = [
        (part.item(), k)
        for epoch in range(20)
        for crops in [source[epoch, 1]]
        for part, item in zip(getattr(crops, "part", torch.zeros(1)), crops.image, strict=True)
        for k in np.unique(where(item)[:, 2]).tolist()
    ]
    whole = {part for part, k in drawn if k not in (2, 5)}
    # Of the four parts of eight slices, the first and the last are let none.
    assert whole == ({0, 3} if name == "partition" else set())
    assert {k for part, k in drawn if part not in whole} == {2, 5}


@pytest.mark.parametrize("crop_vox", [(4,), (4, 4, 4, 4), (4, 0)])
def test_a_crop_of_other_dimensions_is_refused(cohort, name, crop_vox):
    expected = r"crop_vox must be 2 counts for slices(| or 3 for blocks), got \(4"
    with pytest.raises(ValueError, match=expected):
        made(cohort, name, crop_vox)


@pytest.mark.parametrize("crop_vox", CROPS)
def test_stacked_cases_keep_their_items_together(cohort, name, crop_vox):
    source = made(cohort, name, crop_vox)
    drawn = [source[0, 0], source[0, 4], source[1, 4]]
    batch = stack(drawn)
    assert torch.equal(batch.image, torch.cat([case.image for case in drawn]))
    if isinstance(batch, Crops):
        items = len(drawn[0].seed)
        assert batch.volume.tolist() == [0] * items + [1] * items + [2] * items
        assert batch.subject.tolist() == [0] * items * 3
