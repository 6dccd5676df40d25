"""Masks on the source grid, against nibabel, against loops and against a ball in the world."""

import itertools

import nibabel
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from medssl.inference import source_grid
from medssl.inference.source_grid import to_source_grid

ORIENTATIONS = [
    "".join(choice)
    for axes in itertools.permutations(["RL", "AP", "SI"])
    for choice in itertools.product(*axes)
]


def one_hot(labels, num_classes=4):
    return np.eye(num_classes, dtype=np.float32)[labels].transpose(3, 0, 1, 2)


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_voxels_are_copied_where_only_axes_and_a_crop_differ(orientation, monkeypatch):
    monkeypatch.setattr(source_grid, "_most_probable", None)  # no resampling
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 4, (5, 6, 7)).astype(np.uint8)
    oblique = np.eye(4)
    oblique[:3, :3] = Rotation.from_rotvec([0.1, -0.2, 0.05]).as_matrix() * [0.7, 1.1, 2.3]
    oblique[:3, 3] = [-13.0, 17.0, 5.0]
    source = nibabel.Nifti1Image(labels, oblique)
    turn = nibabel.orientations.ornt_transform(
        nibabel.orientations.axcodes2ornt("RAS"), nibabel.orientations.axcodes2ornt(orientation)
    )
    source = source.as_reoriented(turn)
    cropped = nibabel.as_closest_canonical(source).slicer[1:4, 2:6, 0:5]

    found = to_source_grid(
        one_hot(np.asarray(cropped.dataobj)), cropped.affine, source.affine, source.shape
    )

    kept = np.zeros_like(labels)
    kept[1:4, 2:6, 0:5] = labels[1:4, 2:6, 0:5]
    expected = nibabel.Nifti1Image(kept, oblique).as_reoriented(turn)
    np.testing.assert_array_equal(found, np.asarray(expected.dataobj))


def test_a_grid_larger_than_the_source_is_cut():
    labels = np.random.default_rng(0).integers(0, 4, (5, 6, 7)).astype(np.uint8)
    own = np.eye(4)
    own[:3, 3] = [-1.0, -2.0, -3.0]
    np.testing.assert_array_equal(
        to_source_grid(one_hot(labels), own, np.eye(4), (3, 3, 3)), labels[1:4, 2:5, 3:6]
    )


def test_grids_that_do_not_meet_give_background():
    far = np.eye(4)
    far[:3, 3] = 99.0
    assert not to_source_grid(one_hot(np.ones((2, 2, 2), int)), far, np.eye(4), (3, 3, 3)).any()


def literal(probabilities, affine, source_affine, source_shape):
    """Trilinear interpolation as a loop over source voxels and the eight own voxels around."""
    sizes = probabilities.shape[1:]
    mask = np.zeros(source_shape, np.uint8)
    for voxel in np.ndindex(*source_shape):
        world = source_affine @ [*voxel, 1]
        own = (np.linalg.inv(affine) @ world)[:3]
        if any(at <= -1 or at >= size for at, size in zip(own, sizes, strict=True)):
            continue
        own = np.clip(own, 0, np.array(sizes) - 1)
        low = np.minimum(np.floor(own).astype(int), np.maximum(np.array(sizes) - 2, 0))
        values = np.zeros(len(probabilities))
        for corner in itertools.product((0, 1), repeat=3):
            weight = np.prod([f if c else 1 - f for c, f in zip(corner, own - low, strict=True)])
            if weight:
                values += weight * probabilities[(slice(None), *(low + corner))]
        mask[voxel] = values.argmax()
    return mask


@pytest.mark.parametrize("slab", [2**24, 40])
def test_resampling_is_trilinear_and_the_class_is_chosen_after_it(slab, monkeypatch):
    monkeypatch.setattr(source_grid, "SLAB_VOX", slab)
    rng = np.random.default_rng(0)
    probabilities = rng.dirichlet(np.ones(4), (5, 4, 6)).transpose(3, 0, 1, 2).astype(np.float32)
    affine = np.diag([1.5, 2.0, 1.0, 1.0])
    source_affine = np.eye(4)
    source_affine[:3, :3] = Rotation.from_rotvec([0.2, 0.1, -0.3]).as_matrix() * [-0.9, 1.3, 0.8]
    source_affine[:3, 3] = [7.0, -1.0, 0.5]
    grids = (affine, source_affine, (9, 7, 8))
    found = to_source_grid(probabilities, *grids)
    np.testing.assert_array_equal(found, literal(probabilities, *grids))
    assert set(np.unique(found)) == {0, 1, 2, 3}


def distance_mm(affine, shape, center_mm):
    grid = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1)
    return np.linalg.norm(grid @ affine[:3, :3].T + affine[:3, 3] - center_mm, axis=-1)


@pytest.mark.parametrize(
    ("signs", "spacing_mm", "angle"),
    [
        ([1, 1, 1], [1.0, 1.0, 1.0], 0.0),
        ([-1, 1, -1], [0.8, 0.8, 2.5], 0.0),
        ([1, -1, 1], [0.7, 1.9, 1.1], 0.4),
        ([-1, -1, -1], [2.2, 0.9, 0.9], -0.7),
    ],
)
def test_a_ball_in_the_world_stays_where_it_is(signs, spacing_mm, angle):
    center_mm, radius_mm = np.array([3.0, -5.0, 8.0]), 14.0
    own = np.diag([1.5, 1.5, 1.5, 1.0])
    own[:3, 3] = center_mm - 1.5 * 15.5
    inside = 1 / (1 + np.exp(distance_mm(own, (32, 32, 32), center_mm) - radius_mm))
    probabilities = np.stack([1 - inside, inside]).astype(np.float32)
    source = np.eye(4)
    source[:3, :3] = Rotation.from_rotvec([angle, -angle / 2, angle / 3]).as_matrix()
    source[:3, :3] = source[:3, :3] @ np.diag(np.array(signs) * spacing_mm)
    shape = tuple(int(60 / step) for step in spacing_mm)
    source[:3, 3] = center_mm - source[:3, :3] @ ((np.array(shape) - 1) / 2)

    mask = to_source_grid(probabilities, own, source, shape)

    ball = distance_mm(source, shape, center_mm) <= radius_mm
    assert 2 * (mask & ball).sum() / (mask.sum() + ball.sum()) > 0.97
