import matplotlib.pyplot as plt
import numpy as np
import pytest

from pipelines._mask_figures import Plane, draw_planes, three_planes

NO_CLASS = np.zeros((8, 10, 12), np.int64)


def one_voxel(*at):
    mask = NO_CLASS.copy()
    mask[at] = 1
    return mask


def test_planes_go_through_the_first_mask_that_holds_a_class():
    image = np.random.default_rng(0).random((8, 10, 12))
    mask, other = one_voxel(2, 3, 4), one_voxel(5, 6, 7)
    planes = three_planes(image, (NO_CLASS, mask, other), [1.0, 2.0, 3.0])
    for plane, expected in zip(planes, (image[2], image[:, 3], image[:, :, 4]), strict=True):
        np.testing.assert_array_equal(plane.image, expected)
    assert [plane.masks[1].sum() for plane in planes] == [1, 1, 1]
    assert [plane.masks[2].sum() for plane in planes] == [0, 0, 0]


def test_voxels_are_drawn_as_long_as_they_are():
    planes = three_planes(NO_CLASS.astype(float), (NO_CLASS,), [1.0, 2.0, 3.0])
    assert [plane.aspect for plane in planes] == [pytest.approx(1.5), 3.0, 2.0]


def test_the_second_mask_is_outlined_besides_the_first(tmp_path):
    image = np.random.default_rng(0).random((20, 20))
    first, second = np.zeros((2, 20, 20), np.int64)
    first[3:8, 3:8], second[12:17, 12:17] = 1, 1
    pictures = []
    for number, masks in enumerate([(first,), (first, second), (second, first)]):
        path = tmp_path / f"{number}.png"
        draw_planes([[Plane(image, masks)]], path, class_names=["one"])
        pictures.append(plt.imread(path))
    assert not np.array_equal(pictures[0], pictures[1])
    assert not np.array_equal(pictures[1], pictures[2])  # solid and dashed
