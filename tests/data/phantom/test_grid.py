import nibabel
import numpy as np

from medssl.data.phantom.grid import FIELD_OF_VIEW_MM, draw_grid, orientations


def grids(*, seed=5):
    return [
        draw_grid(np.random.default_rng([seed, n]), n, steps_mm=(2.0, 3.0), seed=seed)
        for n in range(24)
    ]


def test_all_24_right_handed_frames_are_there_once():
    frames = orientations()
    assert len({frame.tobytes() for frame in frames}) == 24
    assert {round(np.linalg.det(frame)) for frame in frames} == {1}


def test_24_numbers_in_a_row_have_all_orientations_some_oblique():
    drawn = grids()
    assert len({nibabel.aff2axcodes(grid.affine) for grid in drawn}) == 24
    assert 0 < sum(grid.is_oblique for grid in drawn) < 24


def test_oblique_is_turned_away_from_every_axis_and_straight_is_not():
    for grid in grids():
        largest = np.abs(grid.affine[:3, :3] / grid.spacing_mm).max(axis=0)
        assert np.allclose(largest, 1) != grid.is_oblique


def test_the_field_of_view_covers_the_head_whatever_the_axes():
    for grid in grids():
        assert (grid.spacing_mm >= 2).all()
        assert (grid.spacing_mm <= 3).all()
        axes = np.abs(grid.affine[:3, :3]).argmax(axis=0)
        extent = np.array(grid.shape) * grid.spacing_mm
        np.testing.assert_allclose(extent, FIELD_OF_VIEW_MM[axes], atol=1.6)


def test_positions_step_along_the_cross_product_of_the_directions():
    for grid in grids():
        normal = np.cross(grid.orientation[:3], grid.orientation[3:])
        step = grid.position(5) - grid.position(4)
        np.testing.assert_allclose(step, normal * grid.spacing_mm[2], atol=1e-9)
