import numpy as np
import pytest

from medssl.data.phantom.anatomy import Tissues
from medssl.data.phantom.appearance import (
    FLAIR,
    LARGEST_STORED,
    T1,
    T2,
    acquire,
    contrast_of,
    saved_again,
)

SNR = (30.0, 30.0)


def slabs(texture=0.0):
    """A head of five slabs, one a tissue, then air."""
    maps = np.zeros((6, 60, 40, 40), np.float32)
    for tissue in range(5):
        maps[tissue, 10 * tissue : 10 * (tissue + 1)] = 1
    maps[5, 10:30, ::2] = texture
    return Tissues(*maps)


@pytest.mark.parametrize(
    ("contrast", "order"),
    [
        (T1, ["white", "gray", "csf"]),
        (T2, ["csf", "gray", "white"]),
        (FLAIR, ["gray", "white", "csf"]),
    ],
)
def test_tissues_are_as_bright_as_the_contrast_says(contrast, order):
    values = np.zeros(6)
    for seed in range(8):  # many, so that the bias fields cancel
        voxels = acquire(slabs(), contrast, np.random.default_rng(seed), snr=SNR).stored
        values += [slab.mean() / voxels.mean() for slab in np.split(voxels, 6)]
    by_name = dict(zip(("csf", "gray", "white", "skull", "scalp", "air"), values, strict=True))
    assert sorted(order, key=by_name.get, reverse=True) == order
    assert by_name["air"] < by_name["skull"] < by_name["scalp"]


def test_noise_has_the_ratio_that_was_asked_for():
    scan = acquire(slabs(), T1, np.random.default_rng(1), snr=SNR)
    voxels = scan.stored.astype(float)
    brain, air = voxels[10:30].mean(), voxels[50:]
    # Of Rician noise without signal the mean square is twice the variance.
    assert brain / np.sqrt((air**2).mean() / 2) == pytest.approx(30, rel=0.05)


def test_the_real_texture_shows():
    rng = np.random.default_rng
    plain, rough = (acquire(slabs(t), T1, rng(2), snr=(900, 900)) for t in (0.0, 0.1))
    ratio = rough.stored[10:30, ::2].mean() / rough.stored[10:30, 1::2].mean()
    assert plain.stored[10:30, ::2].mean() / plain.stored[10:30, 1::2].mean() == pytest.approx(
        1, abs=0.03
    )
    assert ratio > 1.08


def test_saving_again_changes_gain_and_adds_noise_at_20():
    scan = acquire(slabs(), T1, np.random.default_rng(3), snr=SNR)
    again = saved_again(scan, np.random.default_rng(4))
    before, after = scan.stored[20:30].astype(float), again.stored[20:30].astype(float)
    gain = after.mean() / before.mean()
    assert 0.004 < abs(gain - 1) < 0.021
    foreground = scan.stored[scan.stored > scan.stored.mean()].mean()
    assert foreground / (after - gain * before).std() == pytest.approx(20, rel=0.02)
    assert again.slope == scan.slope


def test_twelve_bits_are_enough():
    for seed in range(5):
        scan = acquire(slabs(), T2, np.random.default_rng(seed), snr=SNR)
        assert 100 < scan.stored.max() <= LARGEST_STORED


def test_first_scans_are_t1_and_the_others_alternate():
    assert {contrast_of(subject, 0) for subject in range(24)} == {T1}
    assert {contrast_of(subject, 1) for subject in (3, 7, 11)} == {T2, FLAIR}
