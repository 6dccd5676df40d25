import numpy as np
import pytest

from medssl.data.fingerprint import Fingerprint, Look
from medssl.data.planning import (
    fit_crop,
    median_size,
    num_levels,
    propose,
    step_bytes,
    target_spacing,
)

GIB = 2**30


def fingerprint(spacing, shape, *, looks=()):
    return Fingerprint(
        modalities={"MR": len(shape)},
        spacing_mm=np.array(spacing, np.float64),
        shape=np.array(shape, np.int64),
        looks=looks,
    )


def look(modality, low, high, kept=(1.0, 1.0, 1.0)):
    return Look(case_id="c", modality=modality, kept=kept, percentiles=(low, low, 0.0, high, high))


def test_a_cohort_of_one_spacing_is_not_resampled():
    spacing, why = target_spacing(np.array([[1, 1, 3], [1.004, 1, 3.01]]))
    assert spacing is None
    assert "1 x 1 x 3 mm" in why or "1 x 1 x 3.01 mm" in why


def test_the_target_is_the_median_along_each_axis():
    spacing, why = target_spacing(np.array([[0.5, 0.7, 1.0], [0.7, 0.9, 1.5], [0.9, 0.8, 1.25]]))
    assert spacing == (0.7, 0.8, 1.25)
    assert why == "the median of 3 cases"


def test_an_axis_over_three_times_as_coarse_takes_the_10th_percentile():
    coarse = np.array([[1, 1, thick] for thick in np.linspace(2, 7, 11)])
    spacing, why = target_spacing(coarse)
    assert spacing == (1, 1, pytest.approx(2.5))
    assert "10th percentile along S" in why
    just_not, _ = target_spacing(coarse * [1, 1, 2 / 3])
    assert just_not == (1, 1, pytest.approx(3))


def test_the_10th_percentile_is_not_finer_than_the_other_axes():
    varied = np.array([[1, 2, 0.2]] * 3 + [[1, 2, 9.0]] * 8)
    assert target_spacing(varied)[0] == (1, 2, 2)


def test_the_median_size_is_that_of_cropped_and_resampled_images():
    of = fingerprint(
        [[1, 1, 2], [1, 1, 4], [1, 1, 6]],
        [[100, 90, 30], [120, 90, 20], [110, 90, 10]],
        looks=(look("MR", 0, 1, kept=(0.5, 1.0, 1.0)), look("MR", 0, 1, kept=(0.7, 1.0, 1.0))),
    )
    np.testing.assert_allclose(median_size(of, (2.0, 1.0, 4.0)), [33, 90, 15])


@pytest.mark.parametrize(
    ("size", "levels"),
    [((35, 50, 35), 4), ((31, 50, 35), 3), ((8, 99, 99), 3), ((512, 512, 512), 5), ((70, 64), 5)],
)
def test_levels_leave_four_voxels_on_the_thinnest_axis(size, levels):
    assert num_levels(np.array(size, float)) == levels


def test_a_crop_is_the_most_strides_that_the_image_holds():
    assert fit_crop(np.array([35.0, 50, 37]), (16, 32, 64, 128), GIB) == (32, 48, 32)
    assert fit_crop(np.array([35.0, 50, 5]), (16, 32, 64, 128), GIB) == (32, 48, 8)


def test_two_crops_fit_the_memory_and_a_larger_one_would_not():
    channels = (16, 32, 64)
    size = np.array([200.0, 180, 90])
    crop = fit_crop(size, channels, GIB // 4)
    assert all(n % 4 == 0 for n in crop)
    assert 2 * step_bytes(crop, channels) <= GIB // 4
    wider = (crop[0] + 4, *crop[1:])
    assert 2 * step_bytes(wider, channels) > GIB // 4
    assert max(crop) - min(crop) <= 4


def test_a_step_takes_the_channels_of_each_level_at_its_size():
    # 8 voxels of 3 channels and 1 voxel of 5, in 3-D; 12 maps of 4 bytes for each.
    assert step_bytes((2, 2, 2), (3, 5)) == (8 * 3 + 1 * 5) * 12 * 4
    assert step_bytes((4, 2), (3, 5)) == (8 * 3 + 2 * 5) * 12 * 4


def test_hippocampus_like_images_give_the_crop_of_the_study():
    made = propose(
        fingerprint([[1, 1, 1]] * 9, [[35, 50, 36]] * 9), memory_bytes=GIB, base_channels=16
    )
    assert made.preprocessing.spacing_mm is None
    assert made.crop_vox == (32, 48, 32)
    assert made.channels == (16, 32, 64, 128)
    assert made.spatial_dims == 3
    assert made.batch_size == 9
    assert made.reasons.keys() == {
        "preprocessing", "spatial_dims", "crop_vox", "batch_size", "channels",
    }  # fmt: skip


def test_a_few_thick_slices_are_taken_slice_by_slice():
    of = fingerprint([[1, 1, 10]] * 4, [[192, 160, 10]] * 4)
    made = propose(of, memory_bytes=4 * GIB, base_channels=16)
    assert made.spatial_dims == 2
    assert made.crop_vox == (192, 160)


@pytest.mark.parametrize(
    ("cases", "memory", "batch"), [(500, 64, 32), (5, 64, 5), (1, 64, 1), (500, 0.001, 2)]
)
def test_a_batch_is_bounded_by_memory_cases_and_32(cases, memory, batch):
    of = fingerprint([[1, 1, 1]] * cases, [[64, 64, 64]] * cases)
    assert propose(of, memory_bytes=int(memory * GIB), base_channels=16).batch_size == batch


def test_the_ct_window_holds_what_the_ct_images_hold():
    looks = (
        look("CT", -1010, 812),
        look("CT", -985, 640),
        look("CT", -1003, 701),
        look("MR", 0, 9),
    )
    of = fingerprint([[1, 1, 1]] * 4, [[64, 64, 64]] * 4, looks=looks)
    assert propose(of, memory_bytes=GIB, base_channels=16).preprocessing.window_hu == (-1024, 750)
    of = fingerprint([[1, 1, 1]] * 4, [[64, 64, 64]] * 4, looks=looks[3:])
    assert propose(of, memory_bytes=GIB, base_channels=16).preprocessing.window_hu == (-1000, 1000)


def test_the_levels_of_each_other_modality_are_told_apart():
    looks = (look("CT", -1010, 812), look("MR", 3, 700), look("MR", 5, 900), look("PT", 0, 9))
    of = fingerprint([[1, 1, 1]] * 4, [[64, 64, 64]] * 4, looks=looks)
    why = propose(of, memory_bytes=GIB, base_channels=16).reasons["preprocessing"]
    assert "percentiles: of each MR, in the median image 4 and 800." in why
    assert "percentiles: of each PT, in the median image 0 and 9." in why
    assert "of each CT" not in why
