"""The order and the grid of slices, against what they were written from."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medssl.data.dicom.regrid import Allowed
from medssl.data.readers.dicom_series import DicomSeries
from medssl.data.verdicts import Code, RefusedError
from medssl.errors import DataError


def read(folder):
    return DicomSeries().read(folder)


def test_voxels_and_affine_come_back(tmp_path, dicom, voxels, affine):
    dicom.write(tmp_path, voxels, affine)
    volume = read(tmp_path)
    np.testing.assert_array_equal(volume.voxels[0], voxels)
    assert volume.voxels.dtype == np.int16
    np.testing.assert_allclose(volume.affine, affine, atol=1e-6)


@pytest.mark.slow
@settings(max_examples=30, deadline=None)
@given(
    quaternion=st.lists(st.floats(-1, 1), min_size=4, max_size=4).filter(
        lambda q: np.linalg.norm(q) > 0.1
    ),
    spacing=st.lists(st.floats(0.3, 7), min_size=3, max_size=3),
    seed=st.integers(0, 99),
)
def test_any_oblique_volume_keeps_each_voxel_in_its_place(
    tmp_path_factory, dicom, quaternion, spacing, seed
):
    w, x, y, z = np.array(quaternion) / np.linalg.norm(quaternion)
    turn = np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )
    generator = np.random.default_rng(seed)
    sign = generator.choice([-1, 1])  # slices may be stored along or against the normal
    affine = np.eye(4)
    affine[:3, :3] = turn @ np.diag([*spacing[:2], sign * spacing[2]])
    affine[:3, 3] = generator.normal(scale=100, size=3)
    voxels = generator.permutation(60).reshape(4, 3, 5).astype(np.uint16)
    folder = tmp_path_factory.mktemp("series")
    dicom.write(folder, voxels, affine)
    volume = read(folder)

    def places(array, grid):
        flat = array.ravel()
        indices = np.indices(array.shape).reshape(3, -1)
        world = grid[:3, :3] @ indices + grid[:3, 3:]
        return world[:, np.argsort(flat)].T

    np.testing.assert_allclose(
        places(volume.voxels[0], volume.affine), places(voxels, affine), atol=1e-3
    )
    assert np.linalg.det(np.diag([-1, -1, 1]) @ volume.affine[:3, :3]) > 0


def test_instance_numbers_do_not_matter(tmp_path, dicom, voxels, affine):
    numbers = [5, 1, 7, 3, 2, 6, 4]
    dicom.write(tmp_path, voxels, affine, each=lambda k: {"InstanceNumber": numbers[k]})
    np.testing.assert_array_equal(read(tmp_path).voxels[0], voxels)


def test_thickness_is_not_spacing(tmp_path, dicom, voxels, affine):
    dicom.write(tmp_path, voxels, affine, SliceThickness="9", SpacingBetweenSlices="11")
    np.testing.assert_allclose(read(tmp_path).affine, affine, atol=1e-6)


def test_each_slice_is_rescaled_by_its_own_numbers(tmp_path, dicom, voxels, affine):
    each = {k: {"RescaleSlope": k + 1, "RescaleIntercept": 10 * k} for k in range(7)}
    dicom.write(tmp_path, voxels, affine, each=each.__getitem__)
    volume = read(tmp_path)
    expected = voxels * np.arange(1, 8) + 10 * np.arange(7)
    assert volume.voxels.dtype == np.int16
    np.testing.assert_array_equal(volume.voxels[0], expected)


def test_a_slope_that_is_not_whole_gives_floats(tmp_path, dicom, voxels, affine):
    dicom.write(tmp_path, voxels, affine, RescaleSlope="0.37", RescaleIntercept="-3")
    volume = read(tmp_path)
    assert volume.voxels.dtype == np.float32
    np.testing.assert_allclose(volume.voxels[0], voxels * 0.37 - 3, rtol=1e-6)


def test_values_above_16_bits_stay_whole(tmp_path, dicom, voxels, affine):
    dicom.write(tmp_path, voxels, affine, RescaleSlope=1000, RescaleIntercept=7)
    volume = read(tmp_path)
    assert volume.voxels.dtype == np.int32
    np.testing.assert_array_equal(volume.voxels[0], voxels.astype(int) * 1000 + 7)


@pytest.mark.parametrize(("is_signed", "expected"), [(0, [3, 4095, 2048]), (1, [3, -1, -2048])])
def test_bits_that_are_not_stored_do_not_count(tmp_path, dicom, affine, is_signed, expected):
    junk = np.array([0x7003, 0x0FFF, 0xA800], np.uint16)
    voxels = np.broadcast_to(junk[:, None, None], (3, 2, 3)).copy()
    tags = {"BitsStored": 12, "HighBit": 11, "PixelRepresentation": is_signed}
    dicom.write(tmp_path, voxels, affine, **tags)
    np.testing.assert_array_equal(read(tmp_path).voxels[0, :, 0, 0], expected)


def test_a_single_slice_needs_the_spacing_to_the_next(tmp_path, dicom, voxels, affine):
    dicom.write(tmp_path / "with", voxels[:, :, :1], affine, SpacingBetweenSlices="2.5")
    np.testing.assert_allclose(read(tmp_path / "with").affine, affine, atol=1e-6)
    dicom.write(tmp_path / "without", voxels[:, :, :1], affine, SliceThickness="2.5")
    with pytest.raises(RefusedError, match=r"single_slice: .* does not say SpacingBetweenSlices"):
        read(tmp_path / "without")


def test_positions_rounded_to_a_digit_are_not_uneven(tmp_path, dicom):
    voxels = np.zeros((2, 2, 40), np.int16)
    affine = np.diag([-1.0, -1.0, 0.625, 1.0])
    dicom.write(
        tmp_path,
        voxels,
        affine,
        each=lambda k: {"ImagePositionPatient": ["0", "0", f"{0.625 * k:.1f}"]},
    )
    assert read(tmp_path).affine[2, 2] == pytest.approx(0.625, abs=0.002)


def shifted(affine, rows):
    """Positions of slices whose k-th is moved by rows[k] mm along each LPS+ axis."""

    def each(k):
        world = np.diag([-1, -1, 1]) @ affine[:3, 3] + np.array(rows.get(k, [0, 0, 0]), float)
        world = world + np.diag([-1, -1, 1]) @ affine[:3, 2] * k
        return {"ImagePositionPatient": [f"{value:.8g}" for value in world]}

    return each


@pytest.mark.parametrize(
    ("change", "code", "sentence"),
    [
        ({"skip": {3}}, Code.MISSING_SLICE, "1 slices are missing: slices 3-4 lie 5 mm apart"),
        ({"skip": {1, 4}}, Code.MISSING_SLICE, "2 slices are missing: slices 1-2, 3-4 lie 5, 5"),
        ({"skip": {1, 4}}, Code.MISSING_SLICE, "there are none at 2.5, 10 mm from the first$"),
        ({"moved": {3: [0, 0, 0.4]}}, Code.UNEVEN_SPACING, "from 2.1 to 2.9 mm"),
        ({"moved": {3: [0, 0, 0.4]}}, Code.UNEVEN_SPACING, "mm: 2 x 2.5, 2.9, 2.1, 2 x 2.5$"),
        ({"moved": {k: [0, 0.1 * k, 0] for k in range(7)}}, Code.SHEARED, "drift .* by 0.6 mm"),
        (
            {"moved": {3: [0, 0, -2.5]}},
            Code.DUPLICATE_SLICE,
            r"hold 1 to 2 images; .* position 3 \(at 5 mm\)",
        ),
    ],
)
def test_slices_off_an_even_grid_are_refused(
    tmp_path, dicom, voxels, affine, change, code, sentence
):
    each = shifted(affine, change["moved"]) if "moved" in change else lambda k: {}
    dicom.write(tmp_path, voxels, affine, skip=change.get("skip", ()), each=each)
    with pytest.raises(RefusedError, match=sentence) as caught:
        read(tmp_path)
    assert caught.value.code is code


def test_uneven_gaps_are_evened_where_that_is_allowed(tmp_path, dicom, voxels, affine):
    dicom.write(tmp_path, voxels, affine, each=shifted(affine, {3: [0, 0, 0.4]}))
    volume = DicomSeries(Allowed(uneven=True)).read(tmp_path)
    step_mm = 15 / 8  # 9 slices at most 2.1 mm apart
    assert volume.voxels.shape == (1, *voxels.shape[:2], 9)
    np.testing.assert_allclose(volume.affine[:, :2], affine[:, :2], atol=1e-6)
    np.testing.assert_allclose(volume.affine[:, 2], affine[:, 2] * step_mm / 2.5, atol=1e-6)
    np.testing.assert_allclose(volume.affine[:, 3], affine[:, 3], atol=1e-6)
    places_mm = [0, 2.5, 5, 7.9, 10, 12.5, 15]
    for i, j in np.ndindex(voxels.shape[:2]):
        expected = np.interp(step_mm * np.arange(9), places_mm, voxels[i, j])
        np.testing.assert_allclose(volume.voxels[0, i, j], expected, atol=0.5 + 1e-9)


@pytest.mark.parametrize(
    ("change", "allowed", "code"),
    [
        ({"skip": {3}}, Allowed(tilted=True, uneven=True), Code.MISSING_SLICE),
        ({"moved": {3: [0, 0, 0.4]}}, Allowed(tilted=True), Code.UNEVEN_SPACING),
        ({"moved": {k: [0, 0.1 * k, 0] for k in range(7)}}, Allowed(uneven=True), Code.SHEARED),
        ({"moved": {k: [0, 2 * k, 0] for k in range(7)}}, Allowed(tilted=True), Code.SHEARED),
    ],
)
def test_what_is_not_allowed_or_can_not_be_made_up_stays_refused(
    tmp_path, dicom, voxels, affine, change, allowed, code
):
    each = shifted(affine, change["moved"]) if "moved" in change else lambda k: {}
    dicom.write(tmp_path, voxels, affine, skip=change.get("skip", ()), each=each)
    with pytest.raises(RefusedError, match=str(code)):
        DicomSeries(allowed).read(tmp_path)


@pytest.mark.parametrize(
    ("tags", "code"),
    [
        ({"PhotometricInterpretation": "PALETTE COLOR"}, Code.COLOR),
        ({"ImagePositionPatient": None}, Code.NO_GEOMETRY),
        ({"ImageOrientationPatient": [1, 0, 0, 1, 0, 0]}, Code.BAD_ORIENTATION),
        ({"PixelSpacing": [0, 0]}, Code.NO_GEOMETRY),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]}, Code.LOCALIZER),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "M", "MOSAIC"]}, Code.MOSAIC),
        ({"NumberOfFrames": 3}, Code.MULTI_FRAME),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.7"}, Code.SECONDARY_CAPTURE),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.2.1"}, Code.MULTI_FRAME),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.104.1"}, Code.REPORT),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.88.22"}, Code.REPORT),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.481.3"}, Code.STRUCTURES),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.66.4"}, Code.SEGMENTATION),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.11.1"}, Code.PRESENTATION),
        ({"Modality": "DX"}, Code.PROJECTION),
        ({"HighBit": 14}, Code.UNSUPPORTED),
        ({"RescaleSlope": 0}, Code.UNSUPPORTED),
    ],
)
def test_what_is_no_plain_slice_is_refused_by_kind(tmp_path, dicom, voxels, affine, tags, code):
    dicom.write(tmp_path, voxels, affine, **tags)
    with pytest.raises(RefusedError, match=str(code)):
        read(tmp_path)


def test_several_volumes_in_a_folder_are_not_one(tmp_path, dicom, voxels, affine):
    dicom.write(tmp_path / "a", voxels, affine)
    dicom.write(tmp_path / "b", voxels, affine, EchoTime="7")
    files = sorted(tmp_path.rglob("*.dcm"))
    with pytest.raises(DataError, match=r"14 images were to make one volume .* make 2 volumes"):
        DicomSeries().read_files(files)


@pytest.mark.parametrize("tag", ["TemporalPositionIdentifier", "AcquisitionNumber", "TriggerTime"])
def test_frames_are_told_apart_by_what_the_standard_has_for_it(
    tmp_path, dicom, voxels, affine, tag
):
    for frame, number in enumerate([3, 1, 2]):
        dicom.write(tmp_path / str(frame), voxels + 1000 * number, affine, **{tag: number})
    files = sorted(tmp_path.rglob("*.dcm"))
    for frame in range(3):
        volume = DicomSeries().read_files(files, frame=frame)
        np.testing.assert_array_equal(volume.voxels[0], voxels + 1000 * (frame + 1))


@pytest.mark.parametrize("is_slice_by_slice", [False, True])
def test_frames_without_such_a_tag_follow_an_unbroken_count(
    tmp_path, dicom, voxels, affine, is_slice_by_slice
):
    for frame in range(2):

        def number(k, frame=frame):
            return {"InstanceNumber": 2 * k + frame if is_slice_by_slice else 7 * frame + k}

        dicom.write(tmp_path / str(frame), voxels + 1000 * frame, affine, each=number)
    volume = DicomSeries().read_files(sorted(tmp_path.rglob("*.dcm")), frame=1)
    np.testing.assert_array_equal(volume.voxels[0], voxels + 1000)


def test_frames_that_nothing_tells_apart_are_refused(tmp_path, dicom, voxels, affine):
    for frame in range(2):
        dicom.write(tmp_path / str(frame), voxels, affine, InstanceNumber=1)
    with pytest.raises(RefusedError, match="each of its 7 positions has 2 images"):
        DicomSeries().read_files(sorted(tmp_path.rglob("*.dcm")), frame=0)


def test_a_frame_that_lacks_a_slice_is_noticed(tmp_path, dicom, voxels, affine):
    for frame in range(2):
        dicom.write(
            tmp_path / str(frame), voxels, affine, skip=[6] * frame, AcquisitionNumber=frame
        )
    files = sorted(tmp_path.rglob("*.dcm"))
    with pytest.raises(
        RefusedError,
        match=r"frame 1 of 2 has 6 of 7 slices; there is none at position 7 \(at 15 mm",
    ):
        DicomSeries().read_files(files, frame=1)
    np.testing.assert_array_equal(DicomSeries().read_files(files, frame=0).voxels[0], voxels)
