"""DICOM segmentations: what highdicom wrote, as it was written and as highdicom reads it."""

from pathlib import Path

import highdicom
import numpy as np
import pydicom
import pytest
from pydicom.data import get_testdata_file
from pydicom.uid import JPEGLSLossless, RLELossless

from medssl.data.preprocessing.space import to_ras
from medssl.data.readers.dicom_objects import draw_objects
from medssl.data.readers.dicom_series import DicomSeries
from medssl.data.verdicts import Code, RefusedError
from medssl.data.volume import Volume
from medssl.geometry import lps_to_ras

SHAPE = (6, 5, 7)  # of the image; 30 pixels a frame are no whole number of bytes
NAMES = ["Liver", "tumor ", "Spleen"]
CLASSES = {"liver": 1, "Tumor": 2, "SPLEEN": 3}


@pytest.fixture
def sources(tmp_path, dicom, objects):
    return objects.slices_of(dicom.write(tmp_path / "in", **objects.FULL))


@pytest.fixture
def numbered():
    """A number of a segment, or none, for each voxel of the image."""
    return np.random.default_rng(0).integers(0, 4, SHAPE).astype(np.uint8)


def draw(path, affine, classes=CLASSES, shape=SHAPE):
    volume = draw_objects([(path, classes)], shape, affine)
    assert volume.voxels.shape == (1, *shape)
    return volume.voxels[0]


def in_patient(voxels, affine):
    return highdicom.Volume(
        voxels, lps_to_ras(affine), coordinate_system="PATIENT", frame_of_reference_uid="1.2.3.9"
    )


def by_highdicom(path, files):
    """Return the segments' numbers on the grid of a series, in RAS order."""
    series = highdicom.get_volume_from_series([pydicom.dcmread(file) for file in files])
    found = highdicom.seg.segread(path).get_volume(combine_segments=True, rescale_fractional=False)
    found = found.match_geometry(series)
    return to_ras(Volume(found.array[None], lps_to_ras(found.affine))).voxels[0]


@pytest.mark.parametrize(
    ("kind", "syntax"),
    [
        ("BINARY", None),
        ("FRACTIONAL", None),
        ("FRACTIONAL", RLELossless),
        ("LABELMAP", None),
        ("LABELMAP", JPEGLSLossless),
    ],
)
def test_every_type_is_what_was_written_and_what_highdicom_reads(
    tmp_path, sources, objects, numbered, affine, kind, syntax
):
    how = {} if syntax is None else {"transfer_syntax_uid": syntax}
    path = tmp_path / "a.dcm"
    objects.segmentation(sources, numbered, NAMES, kind, **how).save_as(path)
    found = draw(path, affine)
    np.testing.assert_array_equal(found, numbered)
    if kind != "FRACTIONAL":  # whose segments highdicom does not combine
        expected = by_highdicom(path, sorted((tmp_path / "in").iterdir()))
        ours = to_ras(Volume(found[None], affine)).voxels[0]
        np.testing.assert_array_equal(ours, expected)


def test_what_is_not_listed_is_left_out_and_several_names_may_be_one_class(
    tmp_path, sources, objects, numbered, affine
):
    for kind in ("BINARY", "LABELMAP"):
        path = tmp_path / f"{kind}.dcm"
        objects.segmentation(sources, numbered, NAMES, kind).save_as(path)
        found = draw(path, affine, {"Liver": 7, "tumor": 7, "other": 9})
        np.testing.assert_array_equal(found, np.where(np.isin(numbered, [1, 2]), 7, 0))


def test_a_fraction_counts_from_a_half(tmp_path, sources, objects, affine):
    fraction = np.zeros(SHAPE, np.float32)
    fraction[0, 0, :4] = [0.4, 0.5, 0.6, 1.0]
    path = tmp_path / "a.dcm"
    made = objects.segmentation(
        sources, fraction, ["liver"], "FRACTIONAL", max_fractional_value=100
    )
    made.save_as(path)
    assert draw(path, affine)[0, 0, :5].tolist() == [0, 1, 1, 1, 0]


def test_frames_may_be_of_some_slices_in_any_order(tmp_path, sources, objects, numbered, affine):
    numbered[:, :, [0, 3]] = 0
    path = tmp_path / "a.dcm"
    found = objects.segmentation(sources[1:], numbered[:, :, 1:], NAMES, "FRACTIONAL")
    order = np.random.default_rng(1).permutation(int(found.NumberOfFrames))
    groups = list(found.PerFrameFunctionalGroupsSequence)
    pixels = np.frombuffer(found.PixelData, np.uint8)[: len(order) * 30].reshape(-1, 30)
    found.PerFrameFunctionalGroupsSequence = [groups[row] for row in order]
    found.PixelData = pixels[order].tobytes()
    found.save_as(path)
    assert 3 not in {group.PlanePositionSequence[0].ImagePositionPatient[2] for group in groups}
    np.testing.assert_array_equal(draw(path, affine), numbered)


@pytest.mark.parametrize("axes", [(0, 1, 2), (2, 0, 1), (1, 0, 2), (0, 2, 1)])
@pytest.mark.parametrize("flip", [(), (0,), (1, 2)])
def test_frames_may_lie_across_the_images_slices(
    tmp_path, sources, objects, numbered, affine, axes, flip
):
    turned = in_patient(numbered, affine).permute_spatial_axes(list(axes))
    if flip:
        turned = turned.flip_spatial(list(flip))
    path = tmp_path / "a.dcm"
    objects.segmentation(sources, turned, NAMES).save_as(path)
    np.testing.assert_array_equal(draw(path, affine), numbered)


def test_a_part_of_the_field_of_view_is_placed(tmp_path, sources, objects, numbered, affine):
    part = in_patient(numbered, affine)[2:6, 1:4, 2:5]
    path = tmp_path / "a.dcm"
    objects.segmentation(sources, part, NAMES).save_as(path)
    expected = np.zeros_like(numbered)
    expected[2:6, 1:4, 2:5] = numbered[2:6, 1:4, 2:5]
    np.testing.assert_array_equal(draw(path, affine), expected)


@pytest.mark.parametrize("kind", ["BINARY", "FRACTIONAL", "LABELMAP"])
def test_many_frames_are_decoded_in_parts(
    tmp_path, sources, objects, numbered, affine, kind, monkeypatch
):
    monkeypatch.setattr("medssl.data.readers.dicom_segmentation.CHUNK_BYTES", 70)
    path = tmp_path / "a.dcm"
    objects.segmentation(sources, numbered, NAMES, kind).save_as(path)
    np.testing.assert_array_equal(draw(path, affine), numbered)


@pytest.mark.parametrize(
    ("turn", "sentence"),
    [
        (np.diag([1, 1, 1, 1]) + 0.3 * np.eye(4, k=3), "no voxels of the image: they are off by"),
        (np.diag([1.2, 1, 1, 1]), r"frame 1 are no voxels of the image: they are off by up to \d"),
        (np.diag([3, 1, 1, 1]), "axes or spacing differ"),
        (np.diag([1, 1, 2, 1]), "are off by up to 0.5 voxels"),
    ],
)
def test_another_grid_is_refused(tmp_path, sources, objects, affine, turn, sentence):
    path = tmp_path / "a.dcm"
    objects.segmentation(sources, np.ones(SHAPE, np.uint8), ["liver"]).save_as(path)
    with pytest.raises(RefusedError, match=sentence) as caught:
        draw(path, affine @ turn)
    assert caught.value.code is Code.LABEL_GRID_DIFFERS
    assert caught.value.path == path


def test_voxels_outside_of_the_image_are_refused(tmp_path, sources, objects, affine):
    path = tmp_path / "a.dcm"
    objects.segmentation(sources, np.ones(SHAPE, np.uint8), ["liver"]).save_as(path)
    with pytest.raises(RefusedError, match="30 of its voxels lie outside") as caught:
        draw(path, affine, shape=(6, 5, 6))
    assert caught.value.code is Code.LABEL_GRID_DIFFERS


def test_voxels_of_two_classes_are_refused_of_one_class_not(tmp_path, sources, objects, affine):
    masks = np.zeros((*SHAPE, 3), np.uint8)
    masks[:3, :, :, 0], masks[2:, :, :, 1], masks[2, 0, 0, 2] = 1, 1, 1
    path = tmp_path / "a.dcm"
    objects.segmentation(sources, masks, NAMES).save_as(path)
    with pytest.raises(RefusedError, match="35 voxels are of several classes") as caught:
        draw(path, affine)
    assert caught.value.code is Code.LABEL_CONFLICT
    assert (draw(path, affine, {"Liver": 4, "Tumor": 4}) == 4).all()


def test_objects_of_one_image_are_drawn_together(tmp_path, sources, objects, numbered, affine):
    paths = [tmp_path / name for name in ("a.dcm", "b.dcm")]
    for path, number in zip(paths, (1, 2), strict=True):
        mask = (numbered == number).astype(np.uint8)
        objects.segmentation(sources, mask, ["part"]).save_as(path)
    parts = [(path, {"part": value}) for path, value in zip(paths, (5, 6), strict=True)]
    found = draw_objects(parts, SHAPE, affine).voxels[0]
    np.testing.assert_array_equal(found, np.select([numbered == 1, numbered == 2], [5, 6]))
    with pytest.raises(RefusedError, match="are of several classes") as caught:
        draw_objects([parts[0], (paths[0], {"part": 6})], SHAPE, affine)
    assert caught.value.path is None


@pytest.mark.parametrize("kind", ["BINARY", "FRACTIONAL"])
def test_a_file_that_ends_early_is_refused(tmp_path, sources, objects, affine, kind):
    path = tmp_path / "a.dcm"
    found = objects.segmentation(sources, np.ones(SHAPE, np.uint8), ["liver"], kind)
    found.PixelData = found.PixelData[:8]
    found.save_as(path)
    with pytest.raises(RefusedError) as caught:
        draw(path, affine)
    assert caught.value.code is Code.TRUNCATED


@pytest.mark.parametrize(
    ("break_it", "code", "sentence"),
    [
        (
            lambda s: setattr(s, "SegmentationType", "SURFACE"),
            Code.UNSUPPORTED,
            "none of BINARY, FRACTIONAL, LABELMAP",
        ),
        (
            lambda s: setattr(s.SegmentSequence[0], "SegmentLabel", "Smith, John"),
            Code.SEGMENTATION,
            "of 1 segments, none of which is a class",
        ),
        (
            lambda s: delattr(s.SharedFunctionalGroupsSequence[0], "SegmentIdentificationSequence"),
            Code.UNSUPPORTED,
            "do not say which segment",
        ),
        (
            lambda s: delattr(s.PerFrameFunctionalGroupsSequence[2], "PlanePositionSequence"),
            Code.NO_GEOMETRY,
            "its frame 3 does not say where it is: no ImagePositionPatient",
        ),
        (
            lambda s: s.PerFrameFunctionalGroupsSequence.pop(),
            Code.MULTI_FRAME,
            "7 frames that describes 6",
        ),
        (lambda s: delattr(s, "Rows"), Code.UNREADABLE, "AttributeError"),
    ],
)
def test_an_object_that_is_not_whole_is_refused(
    tmp_path, sources, objects, affine, break_it, code, sentence
):
    path = tmp_path / "a.dcm"
    found = objects.segmentation(sources, np.ones(SHAPE, np.uint8), ["liver"])
    break_it(found)
    found.save_as(path)
    with pytest.raises(RefusedError, match=sentence) as caught:
        draw(path, affine)
    assert caught.value.code is code
    assert "Smith" not in str(caught.value)


def series_of_pydicom():
    """The slices of highdicom's segmentations, but the one that lies far from the others."""
    names = ("17136", "17166", "17196")
    return [Path(get_testdata_file(f"dicomdirtests/77654033/CT2/{name}")) for name in names]


@pytest.mark.mirror
@pytest.mark.parametrize(
    "name",
    [
        "seg_image_ct_binary.dcm",
        "seg_image_ct_binary_fractional.dcm",
        "seg_image_ct_true_fractional.dcm",
    ],
)
def test_real_segmentations_are_what_highdicom_reads(mirror, name):
    path = mirror / "dicom_seg_highdicom/data/test_files" / name
    files = series_of_pydicom()
    image = DicomSeries().read_files(files)
    found = draw(path, image.affine, {"first segment": 1}, image.voxels.shape[1:])
    segmentation = highdicom.seg.segread(path)
    series = highdicom.get_volume_from_series([pydicom.dcmread(file) for file in files])
    theirs = segmentation.get_volume(rescale_fractional=True).match_geometry(series)
    mask = to_ras(Volume(theirs.array[None, ..., 0] >= 0.5, lps_to_ras(theirs.affine)))
    assert mask.voxels.any()
    ours = to_ras(Volume(found[None], image.affine))
    np.testing.assert_array_equal(ours.voxels, mask.voxels)
    np.testing.assert_allclose(ours.affine, mask.affine, atol=1e-4)


@pytest.mark.mirror
def test_a_real_segmentation_with_a_slice_that_the_image_lacks_is_refused(mirror):
    path = mirror / "dicom_seg_highdicom/data/test_files/seg_image_ct_binary_overlap.dcm"
    image = DicomSeries().read_files(series_of_pydicom())
    with pytest.raises(RefusedError) as caught:
        draw(path, image.affine, {"second segment": 2}, image.voxels.shape[1:])
    assert caught.value.code is Code.LABEL_GRID_DIFFERS
