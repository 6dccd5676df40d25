"""NMI against scikit-image and by hand."""

import numpy as np
import pytest
from skimage.metrics import normalized_mutual_information

from medssl.similarity import SIDE_PX
from medssl.similarity.nmi import Nmi


def ratio(a, b, **keys):
    """Studholme's ratio in [1, 2], of which ours is 2 - 2 / ratio."""
    (found,) = Nmi(**keys).pairs(a.reshape(1, -1), b.reshape(1, -1))
    return 2 / (2 - found)


@pytest.mark.parametrize("bins", [16, 64])
def test_it_is_scikit_images(bins):
    rng = np.random.default_rng(0)
    a = rng.integers(0, 256, size=(SIDE_PX, SIDE_PX)).astype(np.uint8)
    b = np.uint8((a * 0.5 + rng.normal(size=a.shape) * 9).clip(0, 255))
    step = 256 // bins
    edges = [np.arange(bins + 1) - 0.5] * 2
    joint = np.histogram2d((a // step).ravel(), (b // step).ravel(), bins=edges)[0]
    share = joint / joint.sum()

    def bits(p):
        return -(p[p > 0] * np.log2(p[p > 0])).sum()

    expected = (bits(share.sum(0)) + bits(share.sum(1))) / bits(share)
    assert ratio(a, b, bins=bins) == pytest.approx(expected)
    # scikit-image's bins span each image's own range: only where that is full are they ours.
    a[0, 0], a[0, 1], b[0, 0], b[0, 1] = 0, 255, 0, 255
    theirs = normalized_mutual_information(a // step, b // step, bins=bins)
    assert ratio(a, b, bins=bins) == pytest.approx(theirs)


def test_an_image_says_all_of_itself_and_nothing_of_what_is_independent():
    rows, columns = np.indices((SIDE_PX, SIDE_PX))
    a, b = np.uint8(rows % 2 * 255), np.uint8(columns % 2 * 255)
    assert ratio(a, a) == 2
    assert ratio(a, b) == pytest.approx(1)
    # MI(a, constant) = 0
    assert ratio(a, np.zeros_like(a)) == pytest.approx(1)


@pytest.mark.parametrize("bins", [2, 64, 256])
def test_entropies_are_in_bits_and_an_image_has_all_of_its_own_in_common(bins):
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, size=SIDE_PX**2).astype(np.uint8)
    half = np.uint8(np.arange(SIDE_PX**2) % 2 * 255)
    images = np.stack([noise, half, half * 0])
    entropy = Nmi(bins=bins).prepare(images)[1][:, 0]
    _, counts = np.unique(noise.astype(int) * bins // 256, return_counts=True)
    share = counts / SIDE_PX**2
    np.testing.assert_allclose(entropy, [-(share * np.log2(share)).sum(), 1, 0], atol=1e-9)
    # 2 I / (H + H): of I = H with itself, and of I = 0 with a constant.
    alike = Nmi(bins=bins).between(Nmi(bins=bins).prepare(images), Nmi(bins=bins).prepare(images))
    np.testing.assert_allclose(alike.diagonal(), 1, rtol=1e-6)
    np.testing.assert_allclose(alike[2, :2], 0, atol=1e-6)


def test_rows_of_several_images_are_averaged():
    rng = np.random.default_rng(0)
    a, b, c = rng.integers(0, 8, size=(3, 1, SIDE_PX**2)).astype(np.uint8) * 32
    c[:, : SIDE_PX**2 // 2] = a[:, : SIDE_PX**2 // 2]
    apart = (Nmi().pairs(a, b) + Nmi().pairs(a, c)) / 2
    assert 0.1 < apart[0] < 0.9
    np.testing.assert_allclose(Nmi().pairs(np.hstack([a, a]), np.hstack([b, c])), apart)


def test_greys_of_one_bin_are_one():
    a = np.tile(np.arange(SIDE_PX, dtype=np.uint8), SIDE_PX) * 2
    assert Nmi(bins=128).pairs(a[None], a[None] + 1)[0] == pytest.approx(1)
    assert Nmi(bins=256).pairs(a[None], 255 - a[None])[0] == pytest.approx(1)


def test_constants_are_alike_if_they_are_equal():
    dark, light = np.zeros((1, SIDE_PX**2), np.uint8), np.full((1, SIDE_PX**2), 200, np.uint8)
    assert Nmi().pairs(dark, light).tolist() == [0.0]
    assert Nmi().pairs(dark, dark).tolist() == [1.0]


@pytest.mark.parametrize(("keys", "line"), [({"least": 0}, "least"), ({"bins": 1}, "bins")])
def test_arguments_out_of_range_are_refused(keys, line):
    with pytest.raises(ValueError, match=f"{line} must be in"):
        Nmi(**keys)
