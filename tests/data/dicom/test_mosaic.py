"""Mosaics: the slices in them, against what they were written from and against dcm2niix."""

import gzip
import importlib
import subprocess
from pathlib import Path

import dcm2niix
import nibabel
import numpy as np
import pytest

from medssl.data.archive.ledger import Ledger
from medssl.data.archive.pseudonyms import Pseudonyms
from medssl.data.archive.read import volumes_of
from medssl.data.readers.dicom_series import DicomSeries
from medssl.data.verdicts import Code, RefusedError


def along_or_against(affine, sign):
    """The grid with its slices counted along the normal, or from the same place against it."""
    return affine @ np.diag([1, 1, sign, 1])


def upright(volume, sign):
    """Voxels and affine with slices counted as they were written."""
    if sign > 0:
        return volume.voxels[0], volume.affine
    flip = np.diag([1.0, 1, -1, 1])
    flip[2, 3] = volume.voxels.shape[3] - 1
    return volume.voxels[0, :, :, ::-1], volume.affine @ flip


@pytest.mark.parametrize("sign", [1, -1])
def test_voxels_and_affine_come_back(tmp_path, dicom, voxels, affine, sign):
    grid = along_or_against(affine, sign)
    dicom.save(dicom.mosaic_of(voxels, grid, public_count=7), tmp_path / "a.dcm")
    found, where = upright(DicomSeries().read(tmp_path), sign)
    np.testing.assert_array_equal(found, voxels)
    np.testing.assert_allclose(where, grid, atol=1e-6)


def tipped(affine):
    """The grid turned out of the axial plane."""
    cos, sin = np.cos(0.4), np.sin(0.4)
    tip = np.array([[1, 0, 0, 0], [0, cos, -sin, 0], [0, sin, cos, 0], [0, 0, 0, 1]])
    return tip @ affine


@pytest.mark.slow
@pytest.mark.parametrize("turn", [lambda affine: affine, tipped])
@pytest.mark.parametrize("number", [7, 4, 3])
@pytest.mark.parametrize("sign", [1, -1])
def test_dcm2niix_reads_the_same(tmp_path, dicom, voxels, affine, sign, number, turn):
    grid = along_or_against(turn(affine), sign)
    voxels = voxels[:, :, :number]
    dicom.save(dicom.mosaic_of(voxels, grid, public_count=number), tmp_path / "in" / "a.dcm")
    (tmp_path / "out").mkdir()
    command = [dcm2niix.bin_path, "-p", "n", "-z", "n", "-b", "n", "-o"]
    subprocess.run([*command, tmp_path / "out", tmp_path / "in"], check=True, capture_output=True)
    (path,) = (tmp_path / "out").glob("*.nii")
    theirs = nibabel.as_closest_canonical(nibabel.load(path))
    volume = DicomSeries().read(tmp_path / "in")
    ours = nibabel.as_closest_canonical(nibabel.Nifti1Image(volume.voxels[0], volume.affine))
    np.testing.assert_array_equal(ours.dataobj, theirs.dataobj)
    np.testing.assert_allclose(ours.affine, theirs.affine, atol=1e-3)


def test_several_mosaics_of_a_series_are_its_frames(tmp_path, dicom, voxels, affine):
    for frame, number in enumerate([3, 1, 2]):
        found = dicom.mosaic_of(voxels + 1000 * number, affine, AcquisitionNumber=number)
        dicom.save(found, tmp_path / f"{frame}.dcm")
    files = sorted(tmp_path.glob("*.dcm"))
    for frame in range(3):
        volume = DicomSeries().read_files(files, frame=frame)
        np.testing.assert_array_equal(volume.voxels[0], voxels + 1000 * (frame + 1))


def test_a_rescale_is_of_the_whole_mosaic(tmp_path, dicom, voxels, affine):
    found = dicom.mosaic_of(voxels, affine, RescaleSlope=3, RescaleIntercept=-7)
    dicom.save(found, tmp_path / "a.dcm")
    np.testing.assert_array_equal(DicomSeries().read(tmp_path).voxels[0], voxels * 3 - 7)


@pytest.mark.parametrize(
    ("change", "code", "sentence"),
    [
        ({"csa": b""}, Code.MOSAIC, "without the private CSA2 header"),
        ({"csa": b"SV10\4\3\2\1\2\0\0\0"}, Code.MOSAIC, "the CSA header ends early"),
        ({"csa": {"NumberOfImagesInMosaic": []}}, Code.MOSAIC, "gives no numbers of slices"),
        ({"csa": {"NumberOfImagesInMosaic": ["0"]}}, Code.MOSAIC, r"gives \[0\] numbers"),
        ({"csa": {"NumberOfImagesInMosaic": ["x"]}}, Code.MOSAIC, "has text where numbers belong"),
        ({"csa": {"NumberOfImagesInMosaic": ["10"]}}, Code.MOSAIC, "has 4 by 4 tiles, .* 15 by 18"),
        ({"public_count": 8}, Code.MOSAIC, r"gives \[7, 8\] numbers of slices"),
        ({"csa": {"SliceNormalVector": ["0", "1"]}}, Code.MOSAIC, "2 components"),
        ({"csa": {"SliceNormalVector": ["0", "1", "0"]}}, Code.BAD_ORIENTATION, "off the plane's"),
        ({"SpacingBetweenSlices": None}, Code.NO_GEOMETRY, "does not say SpacingBetweenSlices"),
        ({"ImagePositionPatient": None}, Code.NO_GEOMETRY, "does not say where it is"),
    ],
)
def test_a_mosaic_that_cannot_be_taken_apart_for_certain_is_refused(
    tmp_path, dicom, voxels, affine, change, code, sentence
):
    dicom.save(dicom.mosaic_of(voxels, affine, **change), tmp_path / "a.dcm")
    with pytest.raises(RefusedError, match=sentence) as caught:
        DicomSeries().read(tmp_path)
    assert caught.value.code is code


def test_slices_of_mosaics_at_two_places_do_not_mix(tmp_path, dicom, voxels, affine):
    moved = affine.copy()
    moved[2, 3] += 1.25  # half a step: together they would be an even grid
    for number, grid in enumerate([affine, moved]):
        dicom.save(dicom.mosaic_of(voxels + number, grid), tmp_path / f"{number}.dcm")
    ledger = Ledger(Pseudonyms(b"some secret of 16 bytes"))
    found = [volume for _, volume in volumes_of(tmp_path, ledger)]
    for number, grid in enumerate([affine, moved]):
        np.testing.assert_array_equal(found[number].voxels[0], voxels + number)
        np.testing.assert_allclose(found[number].affine, grid, atol=1e-6)


def test_a_mosaic_of_one_slice_is_a_volume_of_one(tmp_path, dicom, voxels, affine):
    one = voxels[:, :, :1]
    dicom.save(dicom.mosaic_of(one, affine, public_count=1), tmp_path / "a.dcm")
    volume = DicomSeries().read(tmp_path)
    np.testing.assert_array_equal(volume.voxels[0], one)
    np.testing.assert_allclose(volume.affine, affine, atol=1e-6)


@pytest.mark.filterwarnings("ignore:The DICOM readers are highly experimental")
@pytest.mark.parametrize("name", ["siemens_dwi_0.dcm.gz", "siemens_dwi_1000.dcm.gz"])
def test_a_scanners_mosaics_are_what_nibabel_reads(tmp_path, name):
    packed = Path(nibabel.__file__).parent / "nicom/tests/data" / name
    path = tmp_path / "in" / "a.dcm"
    path.parent.mkdir()
    path.write_bytes(gzip.decompress(packed.read_bytes()))
    # Imported here: it warns.
    wrappers = importlib.import_module("nibabel.nicom.dicomwrappers")
    theirs = wrappers.wrapper_from_file(path)
    assert theirs.is_mosaic
    volume = DicomSeries().read(path.parent)
    lps = nibabel.Nifti1Image(theirs.get_data(), np.diag([-1, -1, 1, 1]) @ theirs.affine)
    expected = nibabel.as_closest_canonical(lps)
    found = nibabel.as_closest_canonical(nibabel.Nifti1Image(volume.voxels[0], volume.affine))
    np.testing.assert_array_equal(found.dataobj, expected.dataobj)
    np.testing.assert_allclose(found.affine, expected.affine, atol=1e-3)
