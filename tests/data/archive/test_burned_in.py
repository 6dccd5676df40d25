"""Burned-in text: found in every size it is set in here, and nowhere in real images."""

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from medssl.data.archive import burned_in
from medssl.data.archive.burned_in import has_text, is_written_on
from medssl.data.archive.ledger import Ledger
from medssl.data.archive.pseudonyms import Pseudonyms
from medssl.data.archive.scan import scan
from medssl.data.archive.units import find_units
from medssl.data.archive.walk import walk
from medssl.data.verdicts import RefusedError

TEXTS = ["ZEPHYROWSKA Q 1948-11-03", "Zephyrowska, Quillabamba", "ID 7700123", "Main Road 3, Basel"]


def slice_of_ct(seed, side=512):
    """An ellipse of tissue with noise, a spine, metal and calcifications; (i, j)."""
    rng = np.random.default_rng(seed)
    j, i = np.mgrid[:side, :side] / side - 0.5
    plane = np.where((i / 0.35) ** 2 + (j / 0.4) ** 2 < 1, rng.normal(40, 20, (side, side)), -1000)
    plane[i**2 + (j - 0.25) ** 2 < 0.04**2] = 900
    for _ in range(12):
        at = rng.integers(side // 4, 3 * side // 4, 2)
        plane[tuple(slice(a, a + rng.integers(2, 9)) for a in at)] = rng.uniform(500, 1400)
    return plane


def written(plane, text, size, at, *, smooth):
    """The slice with text in the brightest value there is; (i, j), i along the lines."""
    paper = Image.new("L" if smooth else "1", plane.shape)
    font = ImageFont.load_default(size)
    ImageDraw.Draw(paper).text(at, text, font=font, fill=255 if smooth else 1)
    ink = np.asarray(paper, float)
    ink /= ink.max()
    return (plane * (1 - ink) + (plane.max() + 500) * ink).astype(np.int16).T


@pytest.mark.parametrize("smooth", [False, True])
@pytest.mark.parametrize("size", [10, 12, 16, 20, 24, 32])
@pytest.mark.parametrize("at", [(8, 8), (180, 470), (150, 240)])
def test_text_is_found_whatever_its_size_and_place(size, at, smooth):
    for seed, text in enumerate(TEXTS):
        plane = written(slice_of_ct(seed), text, size, at, smooth=smooth)
        assert is_written_on(plane), text
        assert is_written_on(plane[:, ::-1]), text
        assert is_written_on(plane.astype(np.float32) / 7), text


@pytest.mark.parametrize("k", [0, 3, 6])
def test_the_ends_and_the_middle_of_a_volume_are_looked_at(k):
    volume = np.stack([slice_of_ct(n).T for n in range(7)], axis=-1)[None].astype(np.int16)
    assert not has_text(volume)
    volume[0, :, :, k] = written(slice_of_ct(k), TEXTS[0], 14, (8, 8), smooth=True)
    assert has_text(volume)


@pytest.mark.parametrize(
    "plane",
    [
        np.zeros((128, 128), np.int16),
        np.full((128, 128), np.nan, np.float32),
        np.tile([0, 1000], (128, 64)).astype(np.int16),
        np.kron(np.indices((16, 16)).sum(axis=0) % 2, np.ones((8, 8))).astype(np.uint8),
        np.random.default_rng(0).integers(0, 2, (128, 128)).astype(np.uint8),
        np.random.default_rng(0).normal(0, 1, (128, 128)),
    ],
)
def test_what_is_blank_noise_stripes_or_a_board_is_no_text(plane):
    assert not is_written_on(plane)


def test_slices_too_small_for_text_are_not_looked_at():
    assert not has_text(np.ones((1, 63, 200, 3), np.int16))


def test_of_many_slices_three_are_looked_at(monkeypatch):
    looked_at = []
    monkeypatch.setattr(burned_in, "is_written_on", lambda plane: looked_at.append(plane[0, 0]))
    voxels = np.zeros((1, 64, 64, 101), np.int16) + np.arange(101, dtype=np.int16)
    assert not has_text(voxels)
    assert looked_at == [0, 50, 100]


@pytest.mark.mirror
@pytest.mark.long
def test_no_real_volume_seems_written_on(mirror):
    ledger = Ledger(Pseudonyms(b"0" * 32))
    volumes = 0
    ledger.open(walk(mirror))
    scan(ledger)
    for unit in find_units(ledger):
        try:
            volume = unit.read()
        except RefusedError:
            continue
        assert not has_text(volume.voxels), unit.files[0].name
        volumes += 1
    assert volumes > 1000
