"""Series are read back by SimpleITK, which shares no code with pydicom."""

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk  # noqa: N813 its own documentation's name

from medssl.data.phantom.dicom import unique_id

WHOLE = ("original", "exact_duplicate", "near_duplicate")


def affine_of(image):
    """ITK's geometry as an affine to RAS+ mm."""
    affine = np.eye(4)
    affine[:3, :3] = np.reshape(image.GetDirection(), (3, 3)) * image.GetSpacing()
    affine[:3, 3] = image.GetOrigin()
    return np.diag([-1, -1, 1, 1]) @ affine


def voxels(image):
    return sitk.GetArrayFromImage(image).T


def dice(a, b):
    return 2 * (a & b).sum() / (a.sum() + b.sum())


def test_every_series_is_where_the_truth_says(archive):
    for truth in archive.of(*WHOLE):
        image = archive.image(truth)
        assert list(image.GetSize()) == truth.shape
        np.testing.assert_allclose(affine_of(image), np.reshape(truth.affine, (4, 4)), atol=1e-3)


def test_labels_lie_on_their_series_grid(archive):
    for truth in archive.of("original"):
        image, label = archive.image(truth), archive.label(truth)
        assert label.GetSize() == image.GetSize()
        np.testing.assert_allclose(affine_of(label), affine_of(image), atol=1e-3)
        assert set(np.unique(voxels(label))) == {0, 1, 2}


def test_white_matter_is_brighter_than_gray_where_the_label_says_so(fine):
    (truth, _) = fine.of("original")
    assert truth.contrast == "t1"
    image, label = voxels(fine.image(truth)), voxels(fine.label(truth))
    gray, white = image[label == 1].mean(), image[label == 2].mean()
    assert white > 1.15 * gray
    # Mirrored along any axis the same labels tell less.
    for axis in range(3):
        mirrored = np.flip(label, axis)
        assert image[mirrored == 2].mean() - image[mirrored == 1].mean() < 0.7 * (white - gray)


def test_two_series_of_a_subject_show_one_anatomy_in_the_world(fine):
    first, second = (fine.label(truth) for truth in fine.of("original"))
    moved = sitk.Resample(second, first, sitk.Transform(), sitk.sitkNearestNeighbor)
    inside = voxels(
        sitk.Resample(second * 0 + 1, first, sitk.Transform(), sitk.sitkNearestNeighbor)
    ).astype(bool)
    a, b = voxels(first)[inside], voxels(moved)[inside]
    assert affine_of(first)[0, 0] != pytest.approx(affine_of(second)[0, 0], abs=1e-3)
    assert dice(a == 1, b == 1) > 0.7
    assert dice(a == 2, b == 2) > 0.7


def test_every_orientation_and_syntax_occurs(archive):
    originals = archive.of("original")
    assert len({truth.orientation for truth in originals}) == 24
    assert {truth.is_oblique for truth in originals} == {True, False}
    assert {truth.syntax for truth in originals} == {
        "Explicit VR Little Endian",
        "Implicit VR Little Endian",
        "RLE Lossless",
        "JPEG-LS Lossless Image Compression",
    }


def test_the_syntax_is_the_one_that_the_truth_names(archive):
    for truth in archive.of(*WHOLE):
        meta = pydicom.dcmread(archive.files(truth)[0], stop_before_pixels=True).file_meta
        assert meta.TransferSyntaxUID.name == truth.syntax


def test_instance_numbers_follow_the_position_run_against_it_or_neither(archive):
    kinds = set()
    for truth in archive.of("original"):
        heads = [pydicom.dcmread(p, stop_before_pixels=True) for p in archive.files(truth)]
        steps = np.diff([head.InstanceNumber for head in heads])
        kinds.add("up" if (steps == 1).all() else "down" if (steps == -1).all() else "neither")
    assert kinds == {"up", "down", "neither"}


def test_pydicom_finds_nothing_to_complain_about(archive, monkeypatch):
    monkeypatch.setattr(pydicom.config.settings, "reading_validation_mode", pydicom.config.RAISE)
    for truth in archive.of(*WHOLE):
        dataset = pydicom.dcmread(archive.files(truth)[0])
        elements = list(dataset.iterall())
        assert len(elements) > 40
        assert dataset.pixel_array.shape == (truth.shape[1], truth.shape[0])


def test_an_exact_duplicate_has_the_originals_voxels_under_new_uids(archive):
    for truth in archive.of("exact_duplicate"):
        original = next(t for t in archive.truths if t.series_uid == truth.of_series_uid)
        assert original.role == "original"
        assert truth.affine == original.affine
        np.testing.assert_array_equal(voxels(archive.image(truth)), voxels(archive.image(original)))
        ours, theirs = (
            {
                (d.SOPInstanceUID, d.SeriesInstanceUID, d.StudyInstanceUID, d.FrameOfReferenceUID)
                for d in map(pydicom.dcmread, archive.files(t))
            }
            for t in (truth, original)
        )
        assert not {uid for row in ours for uid in row} & {uid for row in theirs for uid in row}


def test_a_near_duplicate_is_of_the_same_patient_and_differs_by_gain_and_noise(archive):
    for truth in archive.of("near_duplicate"):
        original = next(t for t in archive.truths if t.series_uid == truth.of_series_uid)
        assert truth.affine == original.affine
        a, b = (voxels(archive.image(t)).astype(float) for t in (truth, original))
        assert 0.9 < np.corrcoef(a.ravel(), b.ravel())[0, 1] < 0.9999
        ids = [pydicom.dcmread(archive.files(t)[0]).PatientID for t in (truth, original)]
        assert ids[0] == ids[1]


def test_no_two_objects_share_a_uid(archive):
    uids = [
        pydicom.dcmread(path, stop_before_pixels=True).SOPInstanceUID
        for path in archive.root.rglob("*")
        if path.is_file() and path.suffix != ".txt"
    ]
    assert len(set(uids)) == len(uids)


def test_a_uid_is_valid_and_a_function_of_its_key():
    uid = unique_id("series", 0, 1)
    assert pydicom.uid.UID(uid).is_valid
    assert uid == unique_id("series", 0, 1)
    assert uid != unique_id("series", 0, 2)


def test_stored_values_come_with_different_slopes(archive):
    slopes = {
        float(pydicom.dcmread(archive.files(t)[0]).get("RescaleSlope", 1))
        for t in archive.of("original")
    }
    assert slopes == {0.5, 1.0, 2.5}
