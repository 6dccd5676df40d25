from pathlib import Path

import numpy as np
import pydicom
import pytest


def heads(archive, truth):
    paths = archive.files(truth)
    return paths, [pydicom.dcmread(path, stop_before_pixels=True) for path in paths]


def test_one_file_of_the_truncated_series_ends_early(archive):
    (truth,) = archive.of("truncated")
    # GDCM leaves the broken one out, so its folder is listed.
    paths = list(Path(archive.files(truth)[0]).parent.iterdir())
    assert len(paths) == truth.num_files == truth.shape[2]
    assert len(archive.files(truth)) == len(paths) - 1
    broken = 0
    for path in paths:
        dataset = pydicom.dcmread(path)
        if len(dataset.PixelData) != 2 * dataset.Rows * dataset.Columns:
            broken += 1
            with pytest.raises(ValueError, match="pixel data"):
                _ = dataset.pixel_array
    assert broken == 1


def test_one_inner_slice_is_missing(archive):
    (truth,) = archive.of("missing_slice")
    paths, datasets = heads(archive, truth)
    assert len(paths) == truth.num_files == truth.shape[2] - 1
    normal = np.cross(*np.reshape(datasets[0].ImageOrientationPatient, (2, 3)).astype(float))
    along = np.array([normal @ np.array(d.ImagePositionPatient, float) for d in datasets])
    steps = np.sort(np.diff(np.sort(along)) / float(datasets[0].SpacingBetweenSlices))
    np.testing.assert_allclose(steps[:-1], 1, atol=1e-6)
    assert steps[-1] == pytest.approx(2)


def test_the_screenshot_has_no_place_in_the_patient(archive):
    (truth,) = archive.of("secondary_capture")
    found = [
        dataset
        for path in archive.root.rglob("*.dcm")
        if (dataset := pydicom.dcmread(path)).SeriesInstanceUID == truth.series_uid
    ]
    assert [d.SOPClassUID.name for d in found] == ["Secondary Capture Image Storage"]
    assert "ImagePositionPatient" not in found[0]
    assert found[0].pixel_array.shape == (48, 64, 3)


def test_the_text_is_no_dicom(archive):
    (path,) = archive.root.rglob("*.txt")
    assert len(archive.of("text_file")) == 1
    with pytest.raises(pydicom.errors.InvalidDicomError, match="missing DICOM"):
        pydicom.dcmread(path)
