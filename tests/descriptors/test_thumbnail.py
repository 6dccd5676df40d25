"""Thumbnails against PIL."""

import numpy as np
from PIL import Image

from medssl.descriptors.thumbnail import Thumbnail
from medssl.similarity import SIDE_PX


def noise(*shape):
    """Beyond the window on either side, so that it is clipped."""
    return np.random.default_rng(0).uniform(-0.3, 1.3, size=shape).astype(np.float32)


def small(plane):
    """Return a plane, its rows first, as PIL shrinks or enlarges it."""
    grey = np.array([[round(min(max(float(v), 0), 1) * 255) for v in line] for line in plane])
    picture = Image.fromarray(grey.astype(np.uint8))
    return np.asarray(picture.resize((SIDE_PX, SIDE_PX), Image.Resampling.LANCZOS))


def test_a_slices_row_is_its_picture_by_pil_whose_columns_run_along_i():
    voxels = noise(1, 150, 40, 3)
    rows = Thumbnail().slices(voxels)
    assert rows.shape == (3, SIDE_PX**2)
    for number, row in enumerate(rows):
        np.testing.assert_array_equal(row.reshape(SIDE_PX, -1), small(voxels[0, :, :, number].T))


def test_channels_come_one_after_another():
    voxels = noise(2, 30, 20, 4)
    both = Thumbnail().slices(voxels)
    apart = [Thumbnail().slices(voxels[[channel]]) for channel in range(2)]
    np.testing.assert_array_equal(both, np.hstack(apart))
    volumes = [Thumbnail().volume(voxels[[channel]]) for channel in range(2)]
    np.testing.assert_array_equal(Thumbnail().volume(voxels), np.concatenate(volumes))


def test_a_volume_has_its_middle_axial_coronal_and_sagittal_plane():
    voxels = noise(1, 30, 21, 6)
    images = Thumbnail().volume(voxels).reshape(3, SIDE_PX, SIDE_PX)
    np.testing.assert_array_equal(images[0], small(voxels[0, :, :, 3].T))
    np.testing.assert_array_equal(images[1], small(voxels[0, :, 10, :].T))
    np.testing.assert_array_equal(images[2], small(voxels[0, 15, :, :]))


def test_an_image_of_the_thumbnails_size_is_kept_as_it_is():
    greys = np.random.default_rng(0).integers(256, size=(SIDE_PX, SIDE_PX), dtype=np.uint8)
    voxels = (greys.T / np.float32(255))[None, :, :, None]
    np.testing.assert_array_equal(Thumbnail().slices(voxels)[0], greys.ravel())
