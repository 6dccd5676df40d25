import itertools
import math

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813 (as its documentation does)
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation
from skimage.filters import threshold_otsu

from medssl.data.preprocessing import (
    Intensity,
    Preprocessing,
    finite,
    intensity,
    percentiles,
    prepare,
    prepare_label,
)
from medssl.data.preprocessing.foreground import otsu
from medssl.data.preprocessing.space import to_ras
from medssl.data.volume import Volume
from medssl.errors import DataError
from medssl.geometry import spacing_mm

NATIVE = Preprocessing(crop_to_foreground=False)
AXES = list(itertools.permutations(range(3)))
SIGNS = list(itertools.product([1, -1], repeat=3))


def placed(steps, axes=(0, 1, 2), signs=(1, 1, 1), degrees=(0, 0, 0), origin=(3, -7, 11)):
    """Return the affine of array axes that run along these world axes, turned by the angles."""
    affine = np.eye(4)
    turned = Rotation.from_euler("xyz", degrees, degrees=True).as_matrix()
    affine[:3, :3] = turned[:, list(axes)] * np.array(signs) * np.array(steps)
    affine[:3, 3] = origin
    return affine


def noise(shape, dtype=np.float32, seed=0):
    return np.random.default_rng(seed).normal(100, 40, (1, *shape)).astype(dtype)


def to_itk(volume):
    """Return the image as ITK has it: LPS+, axes k j i in memory."""
    image = sitk.GetImageFromArray(np.ascontiguousarray(volume.voxels[0].T))
    lps = np.diag([-1, -1, 1]) @ volume.affine[:3, :3]
    steps = np.linalg.norm(lps, axis=0)
    image.SetSpacing(steps.tolist())
    image.SetDirection((lps / steps).ravel().tolist())
    image.SetOrigin((np.array([-1, -1, 1]) * volume.affine[:3, 3]).tolist())
    return image


def itk_resampled(volume, onto, interpolator):
    grid = to_itk(Volume(np.zeros(onto.voxels.shape, np.float32), onto.affine))
    image = sitk.Resample(to_itk(volume), grid, sitk.Transform(), interpolator, 0.0)
    return sitk.GetArrayFromImage(image).T[None]


# Numbers


def test_voxels_that_are_no_number_become_the_smallest_that_is():
    voxels = np.array([[[[np.nan, np.inf, -np.inf, -3.0, 5.0]]]])
    cleaned = finite(Volume(voxels, np.eye(4))).voxels
    np.testing.assert_array_equal(cleaned.ravel(), [-3, -3, -3, -3, 5])
    assert np.isnan(voxels[0, 0, 0, 0])


def test_what_float32_cannot_hold_is_no_number():
    cleaned = finite(Volume(np.array([[[[-1e300, 1e39, 2.0, 3.0]]]]), np.eye(4))).voxels
    np.testing.assert_array_equal(cleaned.ravel(), [2, 2, 2, 3])


@pytest.mark.parametrize(
    ("voxels", "message"),
    [
        (np.full((1, 2, 2, 2), np.nan), "expected finite voxels, found none among 8"),
        (np.zeros((1, 0, 2, 2)), r"empty volume of shape \(1, 0, 2, 2\)"),
        (np.zeros((1, 2, 2, 2), complex), "expected real numbers, .* complex128"),
        (np.zeros((1, 2, 2, 2), [("R", "u1"), ("G", "u1")]), "expected real numbers, .*'R'"),
    ],
)
def test_a_volume_without_usable_voxels_is_refused(voxels, message):
    with pytest.raises(DataError, match=message):
        prepare(Volume(voxels, np.eye(4)), NATIVE)


@pytest.mark.parametrize("dtype", ["u1", "i1", "<i2", ">i2", "u2", "i4", "f4", ">f4", "f8"])
def test_native_keeps_number_type_and_voxels(dtype):
    voxels = noise((4, 5, 6)).astype(dtype)
    prepared = prepare(Volume(voxels, np.eye(4)), NATIVE)
    assert prepared.voxels.dtype == np.dtype(dtype).newbyteorder("=")
    np.testing.assert_array_equal(prepared.voxels, voxels)


@pytest.mark.parametrize(("dtype", "stored"), [("?", "u1"), ("f2", "f4"), ("g", "f8")])
def test_number_types_that_not_every_library_has_are_widened(dtype, stored):
    voxels = (noise((4, 5, 6)) > 100).astype(dtype)
    prepared = prepare(Volume(voxels, np.eye(4)), NATIVE).voxels
    assert prepared.dtype == np.dtype(stored)
    np.testing.assert_array_equal(prepared, voxels)


# Axes


@pytest.mark.parametrize("signs", SIGNS)
@pytest.mark.parametrize("axes", AXES)
@pytest.mark.parametrize("degrees", [(0, 0, 0), (13, -17, 19)])
def test_axes_come_out_as_two_other_libraries_bring_them(axes, signs, degrees):
    volume = Volume(noise((4, 5, 6)), placed((0.7, 1.1, 3.0), axes, signs, degrees))
    ras = to_ras(volume)

    canonical = nibabel.as_closest_canonical(nibabel.Nifti1Image(volume.voxels[0], volume.affine))
    np.testing.assert_array_equal(ras.voxels[0], np.asarray(canonical.dataobj))
    np.testing.assert_allclose(ras.affine, canonical.affine, atol=1e-9)

    oriented = sitk.DICOMOrient(to_itk(volume), "RAS")
    np.testing.assert_array_equal(ras.voxels[0], sitk.GetArrayFromImage(oriented).T)
    again = to_itk(ras)
    np.testing.assert_allclose(again.GetOrigin(), oriented.GetOrigin(), atol=1e-9)
    np.testing.assert_allclose(again.GetDirection(), oriented.GetDirection(), atol=1e-9)


# Resampling

FINER = (0.5, 0.9, 1.3)
COARSER = (1.3, 2.1, 4.4)
steps = st.floats(0.4, 3.0)


@pytest.mark.parametrize("degrees", [(0, 0, 0), (13, -17, 19)])
def test_linear_resampling_is_simpleitks(degrees):
    volume = Volume(noise((9, 11, 7)), placed((1.0, 0.9, 2.5), degrees=degrees))
    finer = prepare(volume, Preprocessing(spacing_mm=FINER, crop_to_foreground=False))
    assert finer.voxels.shape == (1, 18, 11, 13)
    inside = (slice(None), slice(1, -1), slice(None), slice(1, -1))
    expected = itk_resampled(volume, finer, sitk.sitkLinear)
    np.testing.assert_allclose(finer.voxels[inside], expected[inside], atol=1e-4, rtol=0)


def test_cubic_resampling_is_simpleitks_b_spline_away_from_the_border():
    volume = Volume(noise((24, 26, 22)), placed((1.0, 1.0, 1.0)))
    contract = Preprocessing(
        spacing_mm=(0.7, 0.8, 0.9), interpolation="cubic", crop_to_foreground=False
    )
    finer = prepare(volume, contract)
    expected = itk_resampled(volume, finer, sitk.sitkBSpline)
    expected = expected.clip(volume.voxels.min(), volume.voxels.max())
    inside = (slice(None), *[slice(10, -10)] * 3)
    np.testing.assert_allclose(finer.voxels[inside], expected[inside], atol=1e-2, rtol=0)


def test_cubic_does_not_overshoot():
    edge = np.zeros((1, 12, 12, 12), np.float32)
    edge[:, 6:] = 1000
    contract = Preprocessing(
        spacing_mm=(0.4, 1, 1), interpolation="cubic", crop_to_foreground=False
    )
    finer = prepare(Volume(edge, np.eye(4)), contract).voxels
    assert finer.min() == 0
    assert finer.max() == 1000


def blurred(line, ratio):
    """Smooth one line by the Gaussian of Cardoso 2015, its ends continued, term by term."""
    sigma = math.sqrt((ratio**2 - 1) / (8 * math.log(2)))
    reach = int(4 * sigma + 0.5)
    weights = [math.exp(-(n**2) / (2 * sigma**2)) for n in range(-reach, reach + 1)]
    last = len(line) - 1
    return [
        sum(weights[n + reach] * line[min(max(x + n, 0), last)] for n in range(-reach, reach + 1))
        / sum(weights)
        for x in range(len(line))
    ]


def test_before_an_axis_gets_coarser_it_is_smoothed():
    volume = Volume(noise((9, 11, 12)), placed((1.0, 1.0, 1.5)))
    coarser = prepare(volume, Preprocessing(spacing_mm=(0.8, 1, 4.2), crop_to_foreground=False))
    smooth = np.apply_along_axis(blurred, -1, volume.voxels, 4.2 / 1.5).astype(np.float32)
    expected = itk_resampled(Volume(smooth, volume.affine), coarser, sitk.sitkLinear)
    inside = (slice(None), slice(1, -1), slice(None), slice(1, -1))
    np.testing.assert_allclose(coarser.voxels[inside], expected[inside], atol=1e-3, rtol=0)


@given(st.tuples(steps, steps, steps), st.tuples(steps, steps, steps))
@settings(max_examples=30, deadline=None)
def test_the_new_grid_has_the_spacing_and_the_middle_and_covers_what_the_old_did(old, new):
    volume = Volume(np.full((1, 9, 5, 14), 7, np.int16), placed(old, degrees=(5, -7, 11)))
    made = prepare(volume, Preprocessing(spacing_mm=new, crop_to_foreground=False))
    np.testing.assert_allclose(spacing_mm(made.affine), new, rtol=2e-4)
    middles = [v.affine @ [*((np.array(v.voxels.shape[1:]) - 1) / 2), 1] for v in (volume, made)]
    np.testing.assert_allclose(*middles, atol=1e-9)
    extents = [np.array(v.voxels.shape[1:]) * spacing_mm(v.affine) for v in (volume, made)]
    assert (
        np.abs(extents[1] - extents[0]) <= np.array(new) * 0.5001
    ).all() or 1 in made.voxels.shape[1:]
    np.testing.assert_allclose(made.voxels, 7, rtol=1e-6)


@pytest.mark.parametrize("step_mm", [5.0, 10.0])
def test_an_axis_without_a_target_stays_as_it_is(step_mm):
    volume = Volume(noise((9, 11, 7)), placed((1.0, 0.9, step_mm), degrees=(0, 0, 13)))
    made = [
        prepare(volume, Preprocessing(spacing_mm=(0.5, 1.3, step), crop_to_foreground=False))
        for step in (None, step_mm)
    ]
    assert made[0].voxels.shape == (1, 18, 8, 7)
    np.testing.assert_allclose(spacing_mm(made[0].affine), (0.5, 1.3, step_mm))
    np.testing.assert_array_equal(made[0].voxels, made[1].voxels)
    np.testing.assert_allclose(made[0].affine, made[1].affine, atol=1e-12)


def test_a_spacing_that_agrees_changes_no_voxel():
    voxels = noise((4, 5, 6), np.int16)
    volume = Volume(voxels, np.diag([0.33333334, 1.0000001, 2.5, 1]))
    made = prepare(volume, Preprocessing(spacing_mm=(1 / 3, 1, 2.5), crop_to_foreground=False))
    assert made.voxels.dtype == np.int16
    np.testing.assert_array_equal(made.voxels, voxels)
    np.testing.assert_array_equal(made.affine, volume.affine)


@given(
    st.permutations(range(3)),
    st.tuples(*[st.sampled_from([1, -1])] * 3),
    st.tuples(*[st.floats(-20, 20)] * 3),
    st.tuples(steps, steps, steps),
    st.one_of(st.none(), st.tuples(steps, steps, steps)),
    st.tuples(st.integers(1, 10), st.integers(1, 8), st.integers(1, 12)),
    st.booleans(),
)
@settings(max_examples=150, deadline=None)
def test_a_marked_voxel_stays_where_it_is_in_the_patient(
    axes, signs, degrees, old, new, marked, crop
):
    voxels = np.zeros((1, 12, 10, 14), np.float32)
    voxels[0, *marked] = 1000
    volume = Volume(voxels, placed(old, axes, signs, degrees))
    made = prepare(volume, Preprocessing(spacing_mm=new, crop_to_foreground=crop))

    exact = np.linalg.inv(made.affine) @ volume.affine @ [*marked, 1]
    found = np.unravel_index(made.voxels[0].argmax(), made.voxels.shape[1:])
    # A voxel in the outermost half of the field of view may lie beyond the last new center.
    last = np.array(made.voxels.shape[1:]) - 1
    assert np.abs(np.clip(exact[:3], 0, last) - found).max() <= 0.5 + 1e-6
    assert np.abs(np.clip(exact[:3], 0, last) - exact[:3]).max() <= 1.0


# Labels


def test_labels_take_simpleitks_nearest_voxel():
    label = Volume(
        np.random.default_rng(0).integers(0, 5, (1, 9, 11, 7)).astype(np.uint8),
        placed((1.0, 0.9, 2.5), (2, 0, 1), (-1, 1, -1), (13, -17, 19)),
    )
    onto = Volume(np.zeros((1, 15, 12, 22)), placed((0.61, 1.37, 0.83), degrees=(2, 3, 5)))
    made = prepare_label(label, onto)
    expected = itk_resampled(label, onto, sitk.sitkNearestNeighbor)
    np.testing.assert_array_equal(made.voxels, expected)
    np.testing.assert_array_equal(made.affine, onto.affine)
    assert (made.voxels == 0).any()
    assert (made.voxels > 0).any()


@given(
    st.permutations(range(3)),
    st.tuples(*[st.sampled_from([1, -1])] * 3),
    st.tuples(*[st.floats(-40, 40)] * 3),
    st.tuples(steps, steps, steps),
)
@settings(max_examples=50, deadline=None)
def test_a_label_on_the_images_grid_goes_the_images_way(axes, signs, degrees, old):
    voxels = np.random.default_rng(0).integers(0, 200, (1, 4, 5, 6)).astype(np.uint8)
    volume = Volume(voxels, placed(old, axes, signs, degrees))
    image = prepare(volume, NATIVE)
    np.testing.assert_array_equal(prepare_label(volume, image).voxels, image.voxels)


def test_a_finer_label_reaches_to_the_border_of_its_outermost_voxels():
    label = Volume(np.full((1, 3, 3, 3), 2, np.int16), np.diag([3.0, 3.0, 3.0, 1]))
    onto = prepare(label, Preprocessing(spacing_mm=(1, 1, 1), crop_to_foreground=False))
    assert onto.voxels.shape == (1, 9, 9, 9)
    assert (prepare_label(label, onto).voxels == 2).all()


def test_voxels_in_the_middle_of_two_go_one_way_whatever_the_last_digits():
    label = np.arange(20, dtype=np.uint8).reshape(1, 20, 1, 1)
    made = []
    for digits in (-1e-12, 0.0, 1e-12):
        onto = Volume(np.zeros((1, 10, 1, 1)), np.diag([2.0, 1, 1, 1]))
        onto.affine[0, 3] = 0.5 + digits
        made.append(prepare_label(Volume(label, np.eye(4)), onto).voxels.ravel())
    np.testing.assert_array_equal(made[0], made[1])
    np.testing.assert_array_equal(made[1], made[2])


@pytest.mark.parametrize(
    ("highest", "dtype", "stored"),
    [(2, "f8", "u1"), (255, "i2", "u1"), (256, "u2", "i2"), (40000, "u2", "i4"), (1, "?", "u1")],
)
def test_a_label_is_held_in_the_smallest_type_that_torch_has(highest, dtype, stored):
    label = Volume(np.full((1, 2, 2, 2), highest).astype(dtype), np.eye(4))
    made = prepare_label(label, label)
    assert made.voxels.dtype == np.dtype(stored)
    assert (made.voxels == highest).all()


@pytest.mark.parametrize(
    ("value", "message"),
    [(0.5, "whole numbers, got 0.5"), (np.nan, "whole numbers, got nan"), (-1, "got -1.* to -1"),
     (2**40, "whole numbers from 0")],
)  # fmt: skip
def test_a_label_of_other_than_whole_numbers_is_refused(value, message):
    label = Volume(np.full((1, 2, 2, 2), value), np.eye(4))
    with pytest.raises(DataError, match=message):
        prepare_label(label, label)


# Foreground


def in_air(*, air, body, noise_of, shape=(60, 50, 40), box=((20, 44), (18, 30), (15, 33))):
    voxels = np.random.default_rng(0).normal(air, noise_of, (1, *shape))
    inside = (slice(None), *(slice(*span) for span in box))
    voxels[inside] = np.random.default_rng(1).normal(body, noise_of, voxels[inside].shape)
    return Volume(voxels.astype(np.int16), np.diag([1.0, 4.0, 5.0, 1]))


@pytest.mark.parametrize(("air", "body", "noise_of"), [(-1000, 40, 20), (20, 400, 10)])
def test_the_box_of_the_body_is_kept_with_ten_millimeters_around_it(air, body, noise_of):
    volume = in_air(air=air, body=body, noise_of=noise_of)
    made = prepare(volume, Preprocessing())
    np.testing.assert_array_equal(made.voxels, volume.voxels[:, 10:54, 15:33, 13:35])
    np.testing.assert_allclose(made.affine[:3, 3], [10, 15 * 4, 13 * 5])


def test_a_label_is_cut_with_its_image():
    volume = in_air(air=-1000, body=40, noise_of=20)
    label = Volume((volume.voxels > -500).astype(np.uint8), volume.affine)
    made = prepare_label(label, prepare(volume, Preprocessing()))
    assert made.voxels.shape == (1, 44, 18, 22)
    assert made.voxels.sum() == label.voxels.sum()


def test_anatomy_far_from_the_coil_is_kept():
    body = in_air(air=20, body=400, noise_of=3, box=((4, 56), (18, 30), (15, 33)))
    fading = body.voxels * np.repeat([1, 0.3], 30).reshape(1, 60, 1, 1)
    made = prepare(Volume(fading.astype(np.int16), body.affine), Preprocessing())
    assert made.voxels.shape == (1, 60, 18, 22)


def test_a_speck_in_the_air_does_not_widen_the_box():
    volume = in_air(air=-1000, body=40, noise_of=20)
    volume.voxels[0, 2, 2, 2] = 3000
    assert prepare(volume, Preprocessing()).voxels.shape == (1, 44, 18, 22)


@pytest.mark.parametrize("value", [0, 1000])
def test_where_nothing_stands_out_all_is_kept(value):
    volume = Volume(np.full((1, 40, 40, 40), value, np.int16), np.eye(4))
    assert prepare(volume, Preprocessing()).voxels.shape == (1, 40, 40, 40)


def test_an_image_that_tissue_fills_is_kept_whole():
    volume = Volume(noise((35, 50, 36)), np.eye(4))
    assert prepare(volume, Preprocessing()).voxels.shape == (1, 35, 50, 36)


def test_otsus_threshold_is_skimages():
    two = np.concatenate([noise((9, 9, 9)), 3 * noise((9, 9, 9), seed=1)])[0].astype(np.float64)
    assert otsu(two) == pytest.approx(threshold_otsu(two), rel=1e-6)


# Intensities


def test_ct_is_windowed_to_0_and_1():
    voxels = np.array([-2000, -1000, 0, 500, 1000, 3000], np.int16).reshape(1, 1, 2, 3)
    ct = intensity(Volume(voxels, np.eye(4)), "CT", Preprocessing(window_hu=(-1000, 1000)))
    np.testing.assert_allclose(ct(voxels).ravel(), [0, 0, 0.5, 0.75, 1, 1])
    assert ct(voxels).dtype == np.float32


@pytest.mark.parametrize("modality", ["MR", None])
@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int32, np.float32, np.float64])
def test_other_modalities_map_their_percentiles_to_0_and_1(modality, dtype):
    voxels = noise((9, 10, 11)).clip(0).astype(dtype)
    contract = Preprocessing(percentiles=(3, 83))
    made = intensity(Volume(voxels, np.eye(4)), modality, contract)(voxels)
    ranked = sorted(float(v) for v in voxels.ravel())

    def percentile(q):
        place = q / 100 * (len(ranked) - 1)
        low = int(place)
        return ranked[low] + (place - low) * (ranked[low + 1] - ranked[low])

    expected = (voxels - percentile(3)) / (percentile(83) - percentile(3))
    np.testing.assert_allclose(made, expected, rtol=1e-4, atol=1e-5)
    assert made.dtype == np.float32
    assert made.min() < 0
    assert made.max() > 1


@pytest.mark.parametrize("gain", [1e-3, 1.0, 1e5])
def test_a_gain_and_an_offset_do_not_show(gain):
    voxels = noise((9, 10, 11)).astype(np.float64)
    plain, changed = (
        intensity(Volume(v, np.eye(4)), "MR", Preprocessing())(v)
        for v in (voxels, voxels * gain + 3 * gain)
    )
    np.testing.assert_allclose(changed, plain, atol=1e-4)


def test_an_outlier_is_clipped_at_ten_ranges():
    voxels = noise((9, 10, 11))
    voxels[0, 0, 0, :2] = [1.7e6, -1.7e6]
    made = intensity(Volume(voxels, np.eye(4)), "MR", Preprocessing())(voxels)
    np.testing.assert_array_equal(made[0, 0, 0, :2], [10, -10])
    assert np.abs(made).ravel()[2:].max() < 3


@pytest.mark.parametrize("value", [0.0, 5.0, -1e30])
def test_a_constant_volume_becomes_0(value):
    voxels = np.full((1, 3, 3, 3), value)
    voxels[0, 0, 0, 0] *= 1 + 1e-7
    made = intensity(Volume(voxels, np.eye(4)), "MR", Preprocessing())(voxels)
    assert (made == 0).all()


def test_where_percentiles_coincide_the_extremes_stand_for_0_and_1():
    voxels = np.zeros((1, 10, 10, 10), np.int16)
    voxels[0, 0, 0, :3] = [50, 100, 200]
    made = intensity(Volume(voxels, np.eye(4)), "MR", Preprocessing())(voxels)
    np.testing.assert_allclose(made[0, 0, 0, :4], [0.25, 0.5, 1, 0])


def test_32_bit_integers_are_mapped_before_they_are_rounded():
    voxels = np.array([2**30, 2**30 + 1, 2**30 + 2], np.int32)
    np.testing.assert_array_equal(Intensity(float(2**30), 1.0, -10, 10)(voxels), [0, 1, 2])


# The contract


def test_large_whole_numbers_keep_their_contrast():
    small = np.arange(210, dtype=np.uint32).reshape(1, 7, 6, 5)
    large = Volume(small + np.uint32(3_000_000_000), np.eye(4))
    kept = prepare(large, NATIVE)
    np.testing.assert_array_equal(kept.voxels, large.voxels)
    expected = intensity(Volume(small, np.eye(4)), "MR", NATIVE)(small)
    np.testing.assert_allclose(intensity(kept, "MR", NATIVE)(kept.voxels), expected, atol=1e-6)


def test_large_numbers_that_float32_makes_alike_are_not_resampled():
    numbers = np.arange(210, dtype=np.uint32).reshape(1, 7, 6, 5) + np.uint32(3_000_000_000)
    finer = Preprocessing(crop_to_foreground=False, spacing_mm=(0.5, 1, 1))
    with pytest.raises(DataError, match=r"got uint32 from 3000000000 to 3000000209, of which it"):
        prepare(Volume(numbers, np.eye(4)), finer)
    same = Preprocessing(crop_to_foreground=False, spacing_mm=(1, 1, 1))
    np.testing.assert_array_equal(prepare(Volume(numbers, np.eye(4)), same).voxels, numbers)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"spacing_mm": (1, 0, 1)}, r"each is a positive number or null .* got \(1, 0, 1\)"),
        ({"spacing_mm": (1, math.inf, 1)}, "each is a positive number or null"),
        ({"spacing_mm": (None, None, None)}, r"one is a number, got \(None, None, None\)"),
        ({"window_hu": (5, 5)}, r"window_hu must be a lower and a higher .* got \(5, 5\)"),
        ({"window_hu": (math.nan, 5)}, "window_hu must be"),
        ({"percentiles": (99, 1)}, r"percentiles must be .* got \(99, 1\)"),
        ({"percentiles": (0, 101)}, "percentiles must be"),
    ],
)
def test_a_contract_that_means_nothing_is_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        Preprocessing(**wrong)


@settings(deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from([np.int8, np.uint8, np.int16, np.uint16, np.int32, np.float32]),
    st.integers(1, 500),
    st.tuples(st.floats(0, 100), st.floats(0, 100)),
)
def test_percentiles_are_numpys_to_the_last_bit(seed, dtype, size, of):
    voxels = (
        np.random.default_rng(seed)
        .normal(40, 30, size)
        .clip(0, 120)
        .astype(dtype)[None, :, None, None]
    )
    assert percentiles(voxels, of) == tuple(np.percentile(voxels, of))


def test_percentiles_of_many_voxels_are_numpys_too():
    voxels = (
        np.random.default_rng(0)
        .integers(-2000, 30000, (1, 300, 90, 70))
        .astype(np.int16)[:, ::-1]
        .swapaxes(1, 3)
    )
    assert percentiles(voxels, (1.0, 99.0)) == tuple(np.percentile(voxels, (1.0, 99.0)))
