"""Against scipy, whose `affine_transform` maps the place after to the place before as well."""

import numpy as np
import pytest
import torch
from scipy import ndimage
from scipy.spatial.transform import Rotation

from medssl.data.view_plans import plan
from medssl.data.view_work import carry_out
from medssl.data.views.affine import Affine

STILL = {"rotation_deg": 0.0, "scale": (1.0, 1.0), "shift": 0.0}
SHAPES = [(9, 12), (9, 8, 7)]


def image_of(shape):
    return torch.rand(1, 1, *shape, generator=torch.Generator().manual_seed(0))


def moved(operation, image, seed=5):
    return carry_out(plan([operation], [seed], tuple(image.shape[2:])), image)[0, 0].numpy()


def scipys(image, matrix):
    """Resample about the middle; scipy ends a voxel's middle short of the border, so pad."""
    dims = image.ndim - 2
    padded = np.pad(image[0, 0].numpy(), 1)
    middle = (np.array(padded.shape) - 1) / 2
    offset = middle + matrix[:dims, dims] - matrix[:dims, :dims] @ middle
    found = ndimage.affine_transform(padded, matrix[:dims, :dims], offset, order=1)
    return found[(slice(1, -1),) * dims]


@pytest.mark.parametrize("shape", SHAPES)
def test_resampling_is_scipys(shape):
    operation = Affine(rotation_deg=40.0, scale=(0.7, 1.4), shift=0.2, flip=(0.5, 0.5, 0.5))
    image = image_of(shape)
    for seed in range(8):
        matrix = plan([operation], [seed], shape).matrices[0].numpy().astype(float)
        found = moved(operation, image, seed)
        np.testing.assert_allclose(found, scipys(image, matrix), atol=1e-5)


@pytest.mark.parametrize("shape", SHAPES)
def test_what_is_drawn_is_what_happens_in_the_order_it_is_told(shape):
    """Mirrored, turned about i, j, k in turn, scaled, shifted: a point's way, inverted."""
    operation = Affine(
        rotation_deg=(20.0, 30.0, 40.0), scale=(0.7, 1.4), shift=0.2, flip=(0.5,) * 3
    )
    dims = len(shape)
    generator = torch.Generator().manual_seed(1)
    drawn = operation.draw(generator, dims)
    angles, scale, shift, signs = (
        part.double().numpy() for part in drawn.split([3, 1, dims, dims])
    )
    if dims == 2:
        angles[:2] = 0
    turn = Rotation.from_euler("xyz", angles).as_matrix()[:dims, :dims]
    before = np.array([1.5, -2.0, 0.5])[:dims]
    after = scale * (turn @ (signs * before)) + shift * shape
    matrix = operation.matrix(drawn[None], shape)[0].double().numpy()
    np.testing.assert_allclose(matrix @ [*after, 1], [*before, 1], atol=1e-5)


@pytest.mark.parametrize("shape", SHAPES)
def test_a_flip_mirrors_the_axes_it_was_asked_for(shape):
    image = image_of(shape)
    for axis in range(len(shape)):
        flip = tuple(float(each == axis) for each in range(3))
        found = moved(Affine(flip=flip, **STILL), image)
        np.testing.assert_allclose(found, image[0, 0].flip(axis).numpy(), atol=1e-6)


def test_a_quarter_turn_about_k_takes_i_to_j():
    image = image_of((7, 7, 5))
    quarter = torch.tensor([[0, 0, np.pi / 2, 1, 0, 0, 0, 1, 1, 1]], dtype=torch.float32)
    matrix = Affine().matrix(quarter, (7, 7, 5))[0].double().numpy()
    np.testing.assert_allclose(
        scipys(image, matrix), np.rot90(image[0, 0].numpy(), axes=(0, 1)), atol=1e-5
    )


def test_a_factor_above_one_enlarges():
    image = torch.zeros(1, 1, 12, 12)
    image[..., 4:8, 4:8] = 1
    found = moved(Affine(**STILL | {"scale": (1.5, 1.5)}), image)
    assert found.sum() == pytest.approx(16 * 1.5**2, rel=0.02)


def test_a_shift_is_a_share_of_the_side():
    image = image_of((10, 20))
    operation = Affine(**STILL | {"shift": 0.5})
    by = torch.tensor([[0, 0, 0, 1, 0.2, -0.1, 1, 1]])
    matrix = operation.matrix(by, (10, 20))[0].double().numpy()
    expected = np.zeros((10, 20))
    expected[2:, :18] = image[0, 0, :8, 2:]
    np.testing.assert_allclose(scipys(image, matrix), expected, atol=1e-6)


@pytest.mark.parametrize("shape", SHAPES)
def test_standing_still_changes_no_bit(shape):
    image = image_of(shape)
    assert np.array_equal(moved(Affine(**STILL), image), image[0, 0].numpy())


def test_an_angle_for_each_axis_turns_about_that_alone():
    drawn = Affine(rotation_deg=(0.0, 0.0, 30.0)).draw(torch.Generator().manual_seed(0), 3)
    assert drawn[:2].tolist() == [0, 0]
    assert 0 < drawn[2].abs() < np.pi / 6


def test_ranges_that_are_none_are_refused():
    with pytest.raises(ValueError, match=r"scale must be .* 0 < low <= high, got \(0.0, 1.0\)"):
        Affine(scale=(0.0, 1.0))
    with pytest.raises(ValueError, match=r"flip must be in \[0, 1\], got 2"):
        Affine(flip=(0.0, 2.0, 0.0))
