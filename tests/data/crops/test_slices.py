from dataclasses import replace

import numpy as np
import pytest
import torch

from medssl.data.augment import augment
from medssl.data.correspondence import correspond, grid, places_in_case
from medssl.data.crops.slices import ACROSS, Slices
from medssl.data.manifest import Manifest
from medssl.data.views.affine import Affine
from medssl.errors import DataError


def made(cohort, crop_vox=(4, 3), **options):
    return Slices(cohort.manifest, cohort.root, 0, crop_vox=crop_vox, **options)


@pytest.mark.parametrize("plane", ACROSS)
def test_a_slice_lies_in_its_plane_where_it_says(cohort, where, plane):
    axes = [axis for axis in range(3) if axis != ACROSS[plane]]
    middles = set()
    for epoch in range(60):
        crops = made(cohort, planes=(plane,))[epoch, 1]
        for view in range(2):
            start = crops.start[0, view].numpy()
            assert crops.axes[0, view].tolist() == axes
            expected = np.tile(start, (12, 1))
            expected[:, axes] += np.indices((4, 3)).reshape(2, -1).T
            np.testing.assert_array_equal(where(crops.image[0, view]), expected)
        middles.add(crops.start[0, 0, ACROSS[plane]].item())
    assert middles == set(range(cohort.manifest[1].shape[ACROSS[plane]]))


def test_every_plane_has_its_turn(cohort):
    source = made(cohort)
    drawn = [tuple(source[epoch, 3].axes[0, 0].tolist()) for epoch in range(90)]
    assert {drawn.count(axes) > 15 for axes in ((1, 2), (0, 2), (0, 1))} == {True}


@pytest.mark.parametrize("plane", ACROSS)
def test_a_stack_has_the_neighbors_of_its_slice_as_channels(cohort, plane):
    """Cut anew from the volume, with zeros around it."""
    case, across = cohort.manifest[1], ACROSS[plane]
    volume = np.pad(1 + 10000 * np.indices(case.shape)[0] + 100 * np.indices(case.shape)[1]
                    + np.indices(case.shape)[2], 2)  # fmt: skip
    seen = set()
    for epoch in range(40):
        source = made(cohort, planes=(plane,), thickness=5, num_views=1)
        crops = source[epoch, 1]
        assert source.in_channels == 5
        start = crops.start[0, 0].numpy().copy()
        assert crops.image.shape == (1, 1, 5, 4, 3)
        for channel in range(5):
            size = [4, 3]
            size.insert(across, 1)
            first = start + 2
            first[across] += channel - 2
            literal = volume[tuple(slice(a, a + n) for a, n in zip(first, size, strict=True))]
            np.testing.assert_array_equal(crops.image[0, 0, channel], literal.squeeze(across))
        seen.add(start[across])
    assert {0, case.shape[across] - 1} <= seen


@pytest.mark.parametrize("plane", ACROSS)
def test_views_of_a_slice_correspond_within_its_plane(cohort, plane):
    crops = made(cohort, planes=(plane,), shared_crop=True)[0, 3]
    views = augment(crops, [Affine(rotation_deg=20.0)])
    found = correspond((views, 0), (views, 1), grid(views))
    assert found.inside.float().mean() > 0.5
    torch.testing.assert_close(
        places_in_case(views, 1, found.places),
        places_in_case(views, 0, grid(views)),
        rtol=0,
        atol=1e-4,
    )
    start = crops.start.clone()
    start[:, 1, ACROSS[plane]] += 1
    apart = augment(crops._replace(start=start), [])
    assert not correspond((apart, 0), (apart, 1), grid(apart)).inside.any()


def test_of_a_reduced_case_axial_slices_alone_are_taken(cohort):
    reduced = Manifest.of(replace(case, slices=[2, 5]) for case in cohort.manifest)
    with pytest.raises(DataError, match=r"5 of 5 cases were reduced .*; set planes to \[axial\]"):
        Slices(reduced, cohort.root, 0, crop_vox=(4, 4))
    source = Slices(reduced, cohort.root, 0, crop_vox=(4, 4), planes=("axial",))
    assert {source[epoch, 1].start[0, 0, 2].item() for epoch in range(30)} == {2, 5}


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({"crop_vox": (4, 4, 4)}, r"crop_vox must be 2 counts for slices, got \(4, 4, 4\)"),
        ({"thickness": 2}, "thickness must be an odd number of slices, got 2"),
        ({"planes": ()}, "planes must be some of"),
        ({"planes": ("axial", "axial")}, "each once"),
    ],
)
def test_what_makes_no_slices_is_refused(cohort, options, line):
    with pytest.raises(ValueError, match=line):
        made(cohort, **options)


def test_each_slice_is_an_item_of_an_epoch(cohort, where):
    kept = [None, [2, 5], None, [0], None]
    slices = [kept[number] if number < 5 else None for number in range(len(cohort.manifest))]
    manifest = Manifest.of(
        replace(case, slices=some) for case, some in zip(cohort.manifest, slices, strict=True)
    )
    source = Slices(manifest, cohort.root, 0, crop_vox=(4, 3), items="slice", planes=("axial",))
    expected = [
        (row, k)
        for row, (case, some) in enumerate(zip(manifest, slices, strict=True))
        for k in (range(case.shape[2]) if some is None else some)
    ]
    subjects = manifest.codes("subject_id")
    assert source.subjects.tolist() == [subjects[row] for row, _ in expected]
    seeds = set()
    for item, (row, k) in enumerate(expected):
        crops = source[2, item]
        assert crops.start[0, :, 2].tolist() == [k, k]
        assert crops.subject.item() == subjects[row]
        seeds.update(crops.seed.flatten().tolist())
    assert len(seeds) == 2 * len(expected)
    assert torch.equal(source[2, 1].image, source[2, 1].image)
    assert not torch.equal(source[2, 1].start, source[9, 1].start)


def test_each_slice_is_an_axial_one(cohort):
    with pytest.raises(ValueError, match=r"planes must be \[axial\] where each slice is an item"):
        made(cohort, items="slice")
