"""SSIM against scikit-image and by hand."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from skimage.metrics import structural_similarity

from medssl.similarity import SIDE_PX
from medssl.similarity.ssim import Ssim


def smooth(seed, blur):
    image = gaussian_filter(np.random.default_rng(seed).normal(size=(SIDE_PX, SIDE_PX)), blur)
    return np.uint8(np.interp(image, (image.min(), image.max()), (0, 255)))


@pytest.mark.parametrize("blur", [0.5, 2, 8])
def test_it_is_scikit_images(blur):
    a, noise = smooth(0, blur), np.random.default_rng(1).normal(size=(SIDE_PX, SIDE_PX)) * 12
    b = np.uint8((a + noise).clip(0, 255))
    expected = structural_similarity(
        a, b, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=255
    )
    assert 0.1 < expected < 0.99
    found = Ssim().pairs(a.reshape(1, -1), b.reshape(1, -1))
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_black_and_white_have_only_the_constants_in_common():
    a, b = np.zeros((1, SIDE_PX**2), np.uint8), np.full((1, SIDE_PX**2), 255, np.uint8)
    np.testing.assert_allclose(Ssim().pairs(a, b), 6.5025 / 65031.5025, rtol=1e-4)


def test_contrary_images_are_not_less_alike_than_unrelated_ones():
    rows, columns = np.indices((SIDE_PX, SIDE_PX))
    board = np.uint8((rows + columns) % 2 * 255).reshape(1, -1)
    raw = structural_similarity(
        board.reshape(SIDE_PX, -1),
        255 - board.reshape(SIDE_PX, -1),
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        data_range=255,
    )
    assert raw < -0.9
    assert Ssim().pairs(board, 255 - board).tolist() == [0.0]


def test_rows_of_several_images_are_averaged():
    a, b, c, d = (smooth(seed, 2).reshape(1, -1) for seed in range(4))
    apart = (Ssim().pairs(a, b) + Ssim().pairs(c, d)) / 2
    np.testing.assert_allclose(Ssim().pairs(np.hstack([a, c]), np.hstack([b, d])), apart)


@pytest.mark.parametrize("least", [0.0, 1.5])
def test_a_limit_out_of_range_is_refused(least):
    with pytest.raises(ValueError, match=r"least must be in \(0, 1\]"):
        Ssim(least=least)
