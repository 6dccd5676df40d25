"""DICOM series of the mirror against dcm2niix, both brought to RAS."""

import subprocess

import dcm2niix
import nibabel
import numpy as np
import pytest

from medssl.data.archive.ledger import Ledger
from medssl.data.archive.pseudonyms import Pseudonyms
from medssl.data.archive.read import volumes_of

pytestmark = [pytest.mark.mirror, pytest.mark.slow]


def converted(folder, out):
    """What dcm2niix makes of a folder, a volume a frame."""
    out.mkdir()
    command = [dcm2niix.bin_path, "-p", "n", "-z", "n", "-b", "n", "-f", "%s_%j", "-o", out, folder]
    subprocess.run(command, check=True, capture_output=True)
    for path in sorted(out.glob("*.nii")):
        image = nibabel.load(path)
        yield from nibabel.four_to_three(image) if len(image.shape) == 4 else [image]


def in_ras(image):
    turned = nibabel.as_closest_canonical(image)
    return np.asanyarray(turned.dataobj), turned.affine


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("dicom_ct_chest_cptac/data", 1),
        ("dicom_ct_totalseg_jpeg2000/data", 1),
        ("dicom_mr_sag_anon/data", 1),
        ("dicom_rtstruct/tests/oriented_data", 1),
        ("dicom_rtstruct/tests/mock_data", 1),
        ("dicom_4d_mosaic_nih/data/20180918GE/mr_0004", 10),
        ("dicom_4d_mosaic_nih/data/20180918GE/mr_0006", 10),
        ("dicom_4d_mosaic_nih/data/20180918Si/mr_0005", 2),
        ("dicom_enhanced_mr/data/Siemens", 4),
    ],
)
def test_affine_and_voxels_are_dcm2niixs(mirror, tmp_path, name, count):
    ledger = Ledger(Pseudonyms(b"some secret of 16 bytes"))
    ours = [volume for _, volume in volumes_of(mirror / name, ledger)]
    theirs = list(converted(mirror / name, tmp_path / "out"))
    assert len(ours) == len(theirs) == count
    for volume, image in zip(ours, theirs, strict=True):
        voxels, affine = in_ras(nibabel.Nifti1Image(volume.voxels[0], volume.affine))
        expected, grid = in_ras(image)
        np.testing.assert_allclose(affine, grid, atol=1e-3)
        if volume.voxels.dtype.kind == "f":  # theirs are rescaled in another precision
            np.testing.assert_allclose(voxels, expected, rtol=1e-6)
        else:
            np.testing.assert_array_equal(voxels, expected)


def test_a_tilted_series_with_uneven_gaps_is_refused_with_both(mirror):
    ledger = Ledger(Pseudonyms(b"some secret of 16 bytes"))
    assert list(volumes_of(mirror / "dicom_ct_gantry_tilt/GE", ledger)) == []
    (row,) = {(row["code"], row["sentence"]) for row in ledger.verdicts().to_pylist()}
    assert row[0] == "sheared"
    assert "gantry tilt of 18.5 degrees" in row[1]
    assert "run from 1.081 to 6.999 mm" in row[1]
