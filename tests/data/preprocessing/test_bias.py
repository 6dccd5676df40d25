import numpy as np
import pytest
import SimpleITK

from medssl.data.preprocessing import Preprocessing, prepare
from medssl.data.preprocessing.bias import BiasCorrection, correct_bias
from medssl.data.preprocessing.foreground import threshold
from medssl.data.volume import Volume

SHAPE = (36, 32, 28)
QUICK = BiasCorrection(iterations=(10, 10, 10, 10))
NATIVE = Preprocessing(crop_to_foreground=False)


def brightened(*, noise=2.0, seed=0):
    """Return a body of two tissues in air under a coil that is twice as bright at one end."""
    i, j, k = np.meshgrid(*[np.linspace(-1, 1, size) for size in SHAPE], indexing="ij")
    body = i**2 + j**2 + k**2 < 0.9
    spots = np.sin(9 * i) * np.sin(8 * j) * np.sin(7 * k) > 0.1
    tissue = np.where(body, np.where(spots, 200.0, 100.0), 0.0)
    field = np.exp(0.35 * i + 0.2 * j * k)
    voxels = tissue * field + np.abs(np.random.default_rng(seed).normal(0, noise, SHAPE))
    return Volume(voxels[None].astype(np.float32), np.eye(4)), [tissue == 100, tissue == 200]


def uneven(voxels, tissues):
    """Return how much each tissue's brightness varies, as a share of its mean."""
    return np.array([voxels[0][tissue].std() / voxels[0][tissue].mean() for tissue in tissues])


@pytest.mark.parametrize("thinned_by", [1, 4])
def test_tissues_that_a_coil_made_uneven_are_even_again(thinned_by):
    volume, tissues = brightened()
    corrected = correct_bias(volume, BiasCorrection(thinned_by=thinned_by)).voxels
    assert (uneven(volume.voxels, tissues) > 0.1).all()
    assert (uneven(corrected, tissues) < uneven(volume.voxels, tissues) / 8).all()


def test_on_all_voxels_the_field_is_simpleitks_but_for_its_size():
    volume, _ = brightened()
    how = BiasCorrection(iterations=(5, 5, 5, 5), thinned_by=1)
    body = volume.voxels[0] > threshold(volume.voxels[0])
    n4 = SimpleITK.N4BiasFieldCorrectionImageFilter()
    n4.SetMaximumNumberOfIterations([5, 5, 5, 5])
    n4.SetConvergenceThreshold(0.001)
    images = [SimpleITK.GetImageFromArray(part) for part in (volume.voxels[0], body.astype("u1"))]
    expected = SimpleITK.GetArrayFromImage(n4.Execute(*images))[body]
    corrected = correct_bias(volume, how).voxels[0]
    share = corrected[body] / expected
    np.testing.assert_allclose(share, share.mean(), rtol=1e-3)
    # the logarithms of the field add up to nothing
    log_field = np.log(volume.voxels[0][body] / corrected[body])
    assert abs(log_field.mean()) < 1e-4


def test_the_same_voxels_become_the_same():
    volume, _ = brightened()
    first, second = (correct_bias(volume, QUICK).voxels for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_a_plane_of_its_own_has_a_field_in_two_axes():
    volume, tissues = brightened()
    plane = Volume(volume.voxels[..., 14:15], volume.affine)
    corrected = correct_bias(plane, QUICK)
    assert corrected.voxels.shape == plane.voxels.shape
    inside = [tissue[..., 14:15] for tissue in tissues]
    assert (uneven(corrected.voxels, inside) < uneven(plane.voxels, inside) / 2).all()


@pytest.mark.parametrize(
    "voxels",
    [
        np.full((1, 9, 8, 7), 5, np.uint8),
        -np.arange(1.0, 505.0).reshape(1, 9, 8, 7),
        np.arange(40, dtype=np.int16).reshape(1, 1, 40, 1),
    ],
    ids=["constant", "nothing positive", "a line"],
)
def test_what_has_no_foreground_to_fit_a_field_on_stays_as_it_is(voxels):
    corrected = correct_bias(Volume(voxels, np.eye(4)), QUICK).voxels
    assert corrected.dtype == voxels.dtype
    np.testing.assert_array_equal(corrected, voxels)


def test_channels_have_fields_of_their_own():
    volume, _ = brightened()
    both = np.concatenate([volume.voxels, volume.voxels[:, ::-1], np.zeros_like(volume.voxels)])
    corrected = correct_bias(Volume(both, volume.affine), QUICK).voxels
    for channel in range(2):
        alone = Volume(both[channel : channel + 1], volume.affine)
        np.testing.assert_array_equal(corrected[channel], correct_bias(alone, QUICK).voxels[0])
    assert not corrected[2].any()


def test_it_is_done_where_it_is_asked_for_and_never_to_ct():
    volume, _ = brightened()
    asked = Preprocessing(crop_to_foreground=False, bias_correction=QUICK)
    np.testing.assert_array_equal(prepare(volume, NATIVE, "MR").voxels, volume.voxels)
    np.testing.assert_array_equal(prepare(volume, asked, "CT").voxels, volume.voxels)
    np.testing.assert_array_equal(
        prepare(volume, asked, "MR").voxels, correct_bias(volume, QUICK).voxels
    )


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"threshold": 0.0}, r"threshold must be in \(0, 1\), got 0.0"),
        ({"iterations": ()}, r"a positive number for each level, got \(\)"),
        ({"iterations": (50, 0)}, r"a positive number for each level, got \(50, 0\)"),
        ({"thinned_by": 0}, "thinned_by must be 1 or more, got 0"),
    ],
)
def test_values_out_of_range_are_refused(keys, message):
    with pytest.raises(ValueError, match=message):
        BiasCorrection(**keys)
