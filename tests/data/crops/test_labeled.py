import os
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch

from medssl.data.cache import open_cached
from medssl.data.crops import labeled
from medssl.data.crops.labeled import KEPT_VOXELS, Labeled, sampled_voxels
from medssl.data.manifest import Manifest
from medssl.errors import DataError


def made(cohort, crop_vox, **options):
    return Labeled(cohort.manifest, cohort.root, 0, crop_vox=crop_vox, **options)


def expected(place, shape):
    i, j, k = place
    if (i, j, k) == tuple(n - 1 for n in shape):
        return 3
    return int(2 <= i < 5 and 1 <= j < 4 and k == 2)


@pytest.mark.parametrize("crop_vox", [(5, 4), (5, 4, 3)])
def test_the_label_is_the_images_own(cohort, where, crop_vox):
    source = made(cohort, crop_vox)
    for epoch in range(20):
        crops = source[epoch, 2]
        known = [expected(place, (20, 5, 11)) for place in where(crops.image)]
        assert crops.label.flatten().tolist() == known
        assert crops.label.dtype == torch.int64


@pytest.mark.parametrize("crop_vox", [(3, 3), (3, 3, 3)])
def test_foreground_is_in_the_share_of_the_crops_that_was_asked_for(cohort, crop_vox):
    def shares(asked):
        source = made(cohort, crop_vox, foreground_share=asked)
        labels = [source[epoch, 3].label for epoch in range(120)]
        return [np.mean([bool((label == number).any()) for label in labels]) for number in (1, 3)]

    # Each of the two classes is as likely, though one has nine voxels and the other one.
    assert shares(1.0) == pytest.approx([0.5, 0.5], abs=0.15)
    assert sum(shares(1.0)) == pytest.approx(1)
    assert sum(shares(0.0)) < 0.2
    assert 0.4 < sum(shares(0.5)) < 0.7


def test_a_crop_around_the_foreground_is_centered_where_the_border_allows(cohort, where):
    source = made(cohort, (5, 5, 5), foreground_share=1.0)
    begins = {tuple(where(source[epoch, 3].image).min(axis=0)) for epoch in range(80)}
    # Class 1 lies at (2..4, 1..3, 2), class 3 in the corner of 16 voxels a side.
    assert begins == {(i, j, 0) for i in range(3) for j in range(2)} | {(11, 11, 11)}


def test_a_case_without_foreground_is_cut_anywhere(cohort):
    bare = replace(cohort.manifest[0], slices=[5])
    source = Labeled(Manifest.of([bare]), cohort.root, 0, crop_vox=(3, 3), foreground_share=1.0)
    drawn = [source[epoch, 0] for epoch in range(10)]
    assert not any(crops.label.any() for crops in drawn)
    assert len({crops.image[0, 0, 0, 0].item() for crops in drawn}) > 5


def test_at_most_a_few_voxels_of_a_class_are_remembered():
    label = np.zeros((12, 12, 12), np.uint8)
    label[3:, 2:, 1:] = 2
    label[0, 0, :5] = 7
    many, few = sampled_voxels(label, None, torch.Generator().manual_seed(0))
    assert len(many) == KEPT_VOXELS
    assert set(label[tuple(many.T)].tolist()) == {2}
    assert len(np.unique(many, axis=0)) > KEPT_VOXELS / 2
    assert few.tolist() == [[0, 0, k] for k in range(5)]
    (only,) = sampled_voxels(label, [0], torch.Generator())
    assert only.tolist() == [[0, 0, 0]]


def test_a_case_without_a_label_is_refused_by_its_id(cohort):
    cases = [replace(case, label_uri=None) for case in cohort.manifest]
    manifest = Manifest.of([cohort.manifest[0], *cases[1:]])
    with pytest.raises(DataError, match="4 of 5 have none, the first case1; keep the labeled"):
        Labeled(manifest, cohort.root, 0, crop_vox=(3, 3))


def test_a_share_that_is_none_is_refused(cohort):
    with pytest.raises(ValueError, match=r"foreground_share must be in \[0, 1\], got 1.5"):
        made(cohort, (3, 3), foreground_share=1.5)


def test_a_stack_has_the_neighbors_of_its_slice_as_channels_and_the_label_of_the_middle(cohort):
    """Cut anew from the volume, with zeros around it."""
    shape = cohort.manifest[2].shape
    i, j, k = np.indices(shape)
    volume = np.pad(1 + 10000 * i + 100 * j + k, 2)
    source, seen = made(cohort, (4, 3), thickness=5), set()
    assert (source.in_channels, source.spatial_dims) == (5, 2)
    for epoch in range(60):
        stack, single = source[epoch, 2], made(cohort, (4, 3))[epoch, 2]
        assert torch.equal(stack.image[:, 2:3], single.image)
        assert torch.equal(stack.label, single.label)
        assert torch.equal(stack.seed, single.seed)
        a, b, c = np.argwhere(volume == int(stack.image[0, 2, 0, 0]))[0]
        literal = [volume[a : a + 4, b : b + 3, c + offset] for offset in range(-2, 3)]
        np.testing.assert_array_equal(stack.image[0], literal)
        seen.add(int(c) - 2)
    assert {0, shape[2] - 1} <= seen


@pytest.mark.parametrize(
    ("crop_vox", "thickness", "line"),
    [
        ((4, 4), 2, "thickness must be an odd number of slices, got 2"),
        ((4, 4), -1, "thickness must be an odd number of slices, got -1"),
        ((4, 4, 4), 3, r"thickness 3 makes stacks of slices, crop_vox \(4, 4, 4\) is for blocks"),
    ],
)
def test_what_makes_no_stack_is_refused(cohort, crop_vox, thickness, line):
    with pytest.raises(ValueError, match=line):
        made(cohort, crop_vox, thickness=thickness)


def test_a_volume_is_opened_once_unless_its_file_changes(cohort, tmp_path, monkeypatch):
    root, opened = shutil.copytree(cohort.root, tmp_path / "cohort"), []

    def counted(path):
        opened.append(path)
        return open_cached(path)

    monkeypatch.setattr(labeled, "open_cached", counted)
    source = Labeled(cohort.manifest, root, 0, crop_vox=(3, 3))
    first = source[0, 1]
    assert len(opened) == 2
    assert torch.equal(source[0, 1].image, first.image)
    assert len(opened) == 2
    case = cohort.manifest[1]
    os.utime(root / case.image_uri)
    assert torch.equal(source[0, 1].image, first.image)
    assert opened[2:] == [root / case.image_uri]
    (root / case.image_uri).unlink()
    with pytest.raises(DataError, match="expected a cached volume, there is no such file"):
        source[0, 1]
