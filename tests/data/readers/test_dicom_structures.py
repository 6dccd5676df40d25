"""RT structure sets against shapes with a formula, and against point-in-polygon word by word."""

from itertools import pairwise

import numpy as np
import pytest

from medssl.data.readers.dicom_objects import draw_objects
from medssl.data.readers.dicom_series import DicomSeries
from medssl.data.verdicts import Code, RefusedError
from medssl.geometry import lps_to_ras

SHAPE = (31, 27, 9)
CLASSES = {"organ": 3}


def turned(degrees, spacing_mm=(0.5, 0.75, 2.5)):
    """An affine whose third axis is DICOM's normal, turned about two axes."""
    a, b = np.radians(degrees)
    about_z = np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]])
    about_x = np.array([[1, 0, 0], [0, np.cos(b), -np.sin(b)], [0, np.sin(b), np.cos(b)]])
    lps = np.eye(4)
    lps[:3, :3] = about_z @ about_x @ np.diag(spacing_mm)
    lps[:3, 3] = [-20, 31, 12.5]
    return lps_to_ras(lps)


GRIDS = [turned((0, 0)), turned((90, 90)), turned((25, -40))]


@pytest.fixture
def drawn(tmp_path, dicom, objects):
    """Writes regions of polygons (point, 3) in voxels, and draws them on a grid."""

    def draw(polygons, grid=GRIDS[0], shape=SHAPE, classes=CLASSES, digits=9, kind=None):
        rois = polygons if isinstance(polygons, dict) else {" Organ": polygons}
        contours = {
            name: [
                objects.contour(
                    points @ grid[:3, :3].T + grid[:3, 3],
                    digits=digits,
                    kind=kind or "CLOSED_PLANAR",
                )
                for points in members
            ]
            for name, members in rois.items()
        }
        path = dicom.save(objects.structures(contours), tmp_path / "rt.dcm")
        return draw_objects([(path, classes)], shape, grid).voxels[0]

    return draw


def flat(points, k):
    """Corners (i, j) in the plane of a slice."""
    return np.column_stack([np.asarray(points, float), np.full(len(points), float(k))])


def square(low, high, k):
    return flat([(low, low), (high, low), (high, high), (low, high)], k)


def is_inside(point, polygon):
    """The even-odd rule: a ray from the point crosses the edges an odd number of times."""
    x, y = point
    crossings = 0
    for (x0, y0), (x1, y1) in pairwise([*polygon, polygon[0]]):
        if (y0 > y) != (y1 > y) and x < x0 + (y - y0) * (x1 - x0) / (y1 - y0):
            crossings += 1
    return crossings % 2 == 1


def distance(point, polygon):
    found = []
    for start, end in pairwise([*polygon, polygon[0]]):
        start, along = np.array(start), np.subtract(end, start)
        share = np.clip(np.dot(point - start, along) / max(along @ along, 1e-30), 0, 1)
        found.append(np.linalg.norm(point - start - share * along))
    return min(found)


@pytest.mark.parametrize("grid", GRIDS)
def test_a_sphere_is_where_its_formula_says(drawn, grid):
    spacing_mm = np.linalg.norm(grid[:3, :3], axis=0)
    center, radius_mm = np.array([15.3, 12.6, 4.2]), 6.4
    turn = np.linspace(0, 2 * np.pi, 720, endpoint=False)
    circles = []
    for k in range(SHAPE[2]):
        rest = radius_mm**2 - ((k - center[2]) * spacing_mm[2]) ** 2
        if rest > 0:
            ring_mm = np.sqrt(rest) * np.column_stack([np.cos(turn), np.sin(turn)])
            circles.append(flat(ring_mm / spacing_mm[:2] + center[:2], k))
    found = drawn(circles, grid)
    away_mm = np.linalg.norm((np.indices(SHAPE).T - center) * spacing_mm, axis=-1).T
    # What the polygon, and contours to a hundredth of a voxel, may leave open.
    sure = np.abs(away_mm - radius_mm) > 0.01
    assert sure.mean() > 0.99
    np.testing.assert_array_equal(found[sure], np.where(away_mm < radius_mm, 3, 0)[sure])


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("seed", range(4))
def test_several_crooked_contours_are_what_counting_crossings_says(drawn, grid, seed):
    generator = np.random.default_rng(seed)
    polygons = []
    for k in (1, 1, 1, 2, 7):
        turn = np.sort(generator.uniform(0, 2 * np.pi, generator.integers(3, 12)))
        radius = generator.uniform(2, 14, len(turn))
        ring = np.column_stack([radius * np.cos(turn), radius * np.sin(turn)])
        polygons.append(flat(ring + generator.uniform(0, 26, 2), k))
    found = drawn(polygons, grid)
    for k in range(SHAPE[2]):
        rings = [polygon[:, :2] for polygon in polygons if polygon[0, 2] == k]
        for point in np.ndindex(*SHAPE[:2]):
            if any(distance(point, ring) < 0.02 for ring in rings):
                continue
            expected = sum(is_inside(point, ring) for ring in rings) % 2
            assert found[(*point, k)] == 3 * expected


def test_a_hole_is_one_as_a_second_contour_and_as_a_keyhole(drawn):
    outer, inner = square(2.5, 20.5, 3), square(7.5, 12.5, 3)
    keyhole = np.concatenate([outer, outer[:1], inner[:1], inner[1:], inner[:1]])
    expected = np.zeros(SHAPE[:2])
    expected[3:21, 3:21] = 3
    expected[8:13, 8:13] = 0
    for polygons in ([outer, inner], [keyhole]):
        np.testing.assert_array_equal(drawn(polygons)[:, :, 3], expected)
    found = drawn([outer, inner], kind="CLOSEDPLANAR_XOR")
    np.testing.assert_array_equal(found[:, :, 3], expected)


@pytest.mark.parametrize("grid", GRIDS)
def test_a_contour_through_centers_of_voxels_has_them_inside(drawn, grid):
    # As tools trace a mask: through the outermost centers, and written in hundredths of a mm.
    octagon = flat([(5, 3), (9, 3), (12, 6), (12, 9), (9, 12), (5, 12), (2, 9), (2, 6)], 4)
    i, j = np.indices(SHAPE[:2])
    inside = (i >= 2) & (i <= 12) & (j >= 3) & (j <= 12)
    inside &= (i + j >= 8) & (i + j <= 21) & (i - j <= 6) & (j - i <= 7)
    for digits in (9, 3):
        found = drawn([octagon], grid, digits=digits)
        np.testing.assert_array_equal(found[:, :, 4] == 3, inside)
        assert not found[:, :, [3, 5]].any()


def test_a_contour_that_is_written_twice_is_one(drawn):
    found = drawn([square(2.5, 5.5, 0)] * 2)
    assert (found == 3).sum() == 9


def test_a_contour_with_too_few_points_encloses_nothing(drawn):
    found = drawn([square(2.5, 5.5, 0), square(2.5, 5.5, 1)[:2]])
    assert (found == 3).sum() == 9


def test_what_reaches_beyond_the_image_is_cut_off(drawn):
    found = drawn([square(-10.5, 4.5, 2), square(20.5, 99.5, 3), square(-9, -3, 4)])
    expected = np.zeros(SHAPE)
    expected[:5, :5, 2] = 3
    expected[21:, 21:, 3] = 3
    np.testing.assert_array_equal(found, expected)


def test_a_contour_between_slices_belongs_to_the_nearest(drawn):
    found = drawn([square(2.5, 5.5, 2.4), square(2.5, 5.5, 4.6), square(2.5, 5.5, -0.4)])
    assert sorted(set(np.nonzero(found)[2].tolist())) == [0, 2, 5]


@pytest.mark.parametrize(
    ("polygons", "sentence"),
    [
        ([square(2, 5, 2), square(2, 5, 8.6)], "of its 2 contours 0 do not lie in .* 1 are more"),
        ([square(2, 5, -1)], "1 are more than half a spacing beyond"),
        ([square(2, 5, 3)[:, [2, 0, 1]]], "of its 1 contours 1 do not lie in the plane"),
        ([square(2, 5, 2), square(3, 4, 2.3)], "0.3 of a spacing apart fall on one slice"),
    ],
)
def test_contours_that_are_not_of_the_images_slices_are_refused(drawn, polygons, sentence):
    with pytest.raises(RefusedError, match=sentence) as caught:
        drawn(polygons)
    assert caught.value.code is Code.LABEL_GRID_DIFFERS


def test_regions_of_two_classes_must_not_overlap(drawn):
    rois = {
        "a": [square(2.5, 6.5, 1)],
        "b": [square(5.5, 9.5, 1)],
        "c": [square(2.5, 9.5, 1)],
    }
    with pytest.raises(RefusedError, match="1 voxels are of several classes") as caught:
        drawn(rois, classes={"A": 1, "B": 2})
    assert caught.value.code is Code.LABEL_CONFLICT
    assert (drawn(rois, classes={"A": 5, "B": 5}) == 5).sum() == 16 + 16 - 1
    assert (drawn(rois, classes={"C": 5}) == 5).sum() == 49


@pytest.mark.parametrize(
    ("rois", "kind", "code", "sentence"),
    [
        ({"organ": [square(2, 5, 1)]}, "POINT", Code.UNSUPPORTED, "1 of the 1 contours"),
        ({"organ": []}, None, Code.STRUCTURES, "without a contour of its 1 classes"),
        (
            {"Smith, John": [square(2, 5, 1)]},
            None,
            Code.STRUCTURES,
            "of 1 regions, none of which is a class",
        ),
    ],
)
def test_what_encloses_nothing_is_refused(drawn, rois, kind, code, sentence):
    with pytest.raises(RefusedError, match=sentence) as caught:
        drawn(rois, kind=kind)
    assert caught.value.code is code
    assert "Smith" not in str(caught.value)


def test_half_a_point_is_refused(tmp_path, dicom, objects):
    found = objects.structures({"organ": [objects.contour(square(2, 5, 1))]})
    contour = found.ROIContourSequence[0].ContourSequence[0]
    contour.ContourData = contour.ContourData[:-1]
    path = dicom.save(found, tmp_path / "rt.dcm")
    with pytest.raises(RefusedError, match="11 numbers that are no points") as caught:
        draw_objects([(path, CLASSES)], SHAPE, GRIDS[0])
    assert (caught.value.code, caught.value.path) == (Code.TRUNCATED, path)


@pytest.mark.mirror
def test_a_real_structure_set_is_its_square_less_its_hole(mirror):
    folder = mirror / "dicom_rtstruct/tests/mock_data"
    image = DicomSeries().read_files([folder / "ct_1.dcm", folder / "ct_2.dcm"])
    shape = image.voxels.shape[1:]
    found = draw_objects([(folder / "rt.dcm", {"roi-1": 1})], shape, image.affine).voxels[0]
    assert found.any()
    indices = np.indices(shape).reshape(3, -1)
    affine = lps_to_ras(image.affine)
    x, y, z = (affine[:3, :3] @ indices + affine[:3, 3:]).reshape(3, *shape)
    outer = (abs(x + 39) < 12) & (abs(y + 39) < 12)
    hole = (abs(x + 39.5) < 7.5) & (abs(y + 39.5) < 7.5) & (x + y > -93)
    edges = [x + 51, x + 27, y + 51, y + 27, x + 47, x + 32, y + 47, y + 32, x + y + 93]
    sure = np.min(np.abs(edges), axis=0) > 0.01
    assert sure[outer].mean() > 0.9
    np.testing.assert_array_equal(found[sure], (outer & ~hole & (abs(z - 60) < 1))[sure])


@pytest.mark.mirror
def test_a_real_oblique_series_takes_a_box(mirror, tmp_path, dicom, objects):
    folder = mirror / "dicom_rtstruct/tests/oriented_data"
    image = DicomSeries().read_files(sorted(folder.glob("*.dcm")))
    boxes = [square(10.5, 20.5, k) @ image.affine[:3, :3].T + image.affine[:3, 3] for k in (0, 1)]
    found = objects.structures({"organ": [objects.contour(box, digits=2) for box in boxes]})
    path = dicom.save(found, tmp_path / "rt.dcm")
    voxels = draw_objects([(path, CLASSES)], image.voxels.shape[1:], image.affine).voxels[0]
    expected = np.zeros(image.voxels.shape[1:])
    expected[11:21, 11:21, :2] = 3
    np.testing.assert_array_equal(voxels, expected)
