"""The DICOM files that pydicom and nibabel bring along: odd, damaged, from real scanners."""

import gzip
import shutil
import subprocess
from collections import Counter
from pathlib import Path

import dcm2niix
import nibabel
import numpy as np
import pydicom
import pytest
import SimpleITK

from medssl.data.archive.ledger import Ledger
from medssl.data.archive.pseudonyms import Pseudonyms
from medssl.data.archive.read import volumes_of
from medssl.data.dicom.pixels import read_pixels

PYDICOM = Path(pydicom.__file__).parent / "data"
NIBABEL = Path(nibabel.__file__).parent / "nicom/tests/data"
FILES = sorted(path for path in PYDICOM.rglob("*") if path.is_file() and path.suffix != ".py")


def looked(path):
    """The cases and volumes, and what became of each file."""
    ledger = Ledger(Pseudonyms(b"some secret of 16 bytes"))
    return list(volumes_of(path, ledger)), list(ledger.entries.values())


@pytest.mark.slow
def test_each_file_by_itself_has_a_verdict_with_a_reason():
    assert len(FILES) > 150
    for path in FILES:
        found, entries = looked(path)
        assert len(entries) == 1, path.name
        assert bool(found) == entries[0].is_accepted, path.name
        assert entries[0].is_accepted or entries[0].sentence, path.name


def test_all_of_them_are_an_archive():
    found, entries = looked(PYDICOM)
    counts = Counter(str(entry.code) for entry in entries)
    # What is an image by itself; MR_small stands in eight syntaxes, of which one is kept.
    assert (counts["image"], counts["duplicate_file"], counts["conflict"]) == (7, 7, 0)
    assert sorted(case.shape for case, _ in found) == [[16, 16, 5], [128, 128, 1], [512, 512, 1]]
    assert counts["secondary_capture"] >= 35
    assert counts["segmentation"] == counts["localizer"] == 2
    assert counts["dose_or_plan"] == 9


@pytest.mark.parametrize("name", ["dicomdirtests/98892001/CT5N", "CT_small.dcm", "693_J2KI.dcm"])
def test_volumes_are_what_simpleitk_reads(name):
    path = PYDICOM / "test_files" / name
    ((case, volume),), _ = looked(path)
    files = sorted(path.iterdir()) if path.is_dir() else [path]
    files.sort(key=lambda p: float(pydicom.dcmread(p).ImagePositionPatient[2]))
    image = SimpleITK.ReadImage(files)
    np.testing.assert_array_equal(volume.voxels[0], SimpleITK.GetArrayFromImage(image).T)
    spacing_mm = image.GetSpacing()[: 3 if len(files) > 1 else 2]
    np.testing.assert_allclose(case.spacing_mm[: len(spacing_mm)], spacing_mm, atol=1e-3)
    lps = np.diag([-1, -1, 1]) @ volume.affine[:3]
    np.testing.assert_allclose(lps[:, 3], image.GetOrigin(), atol=1e-3)
    directions = np.reshape(image.GetDirection(), (3, 3))
    np.testing.assert_allclose(lps[:, :3] / case.spacing_mm, directions, atol=1e-5)


TWINS = sorted(
    path.name
    for path in (PYDICOM / "test_files").glob("MR_small*.dcm")
    if path.name != "MR_small_padded.dcm"
)


@pytest.mark.parametrize("name", TWINS)
def test_twins_in_other_syntaxes_hold_the_same_numbers(name):
    folder = PYDICOM / "test_files"
    stored = read_pixels(folder / name).stored
    np.testing.assert_array_equal(stored, read_pixels(folder / "MR_small.dcm").stored)
    theirs = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(folder / name))[0]
    np.testing.assert_array_equal(stored, theirs)


@pytest.mark.long
def test_nibabels_files_from_scanners(tmp_path):
    for path in NIBABEL.iterdir():
        if path.suffix == ".gz":
            (tmp_path / path.stem).write_bytes(gzip.decompress(path.read_bytes()))
        else:
            shutil.copy(path, tmp_path)
    found, entries = looked(tmp_path)
    codes = {entry.file.name: str(entry.code) for entry in entries}
    assert len(codes) == len(list(NIBABEL.iterdir()))
    assert {name for name, code in codes.items() if code == "image"} == {
        "philips_mprage.dcm", "siemens_dwi_0.dcm", "siemens_dwi_1000.dcm",
    }  # fmt: skip
    # Their pixels are as many as one slice of the mosaic would be.
    assert codes["0.dcm"] == codes["1.dcm"] == "mosaic"
    mprage = next(volume for case, volume in found if case.shape == [256, 256, 176])
    ours = nibabel.as_closest_canonical(nibabel.Nifti1Image(mprage.voxels[0], mprage.affine))
    command = [dcm2niix.bin_path, "-p", "n", "-z", "n", "-b", "n", "-s", "y", "-o", tmp_path]
    file = tmp_path / "philips_mprage.dcm"
    subprocess.run([*command, file], check=True, capture_output=True)
    theirs = nibabel.as_closest_canonical(nibabel.load(next(tmp_path.glob("*.nii"))))
    np.testing.assert_allclose(ours.affine, theirs.affine, atol=1e-3)
    np.testing.assert_allclose(ours.dataobj, theirs.dataobj, rtol=1e-6)
