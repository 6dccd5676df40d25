"""Numbers that float32 has no room for come out of every format as they went in."""

import nibabel
import numpy as np
import pytest
import SimpleITK

from medssl.data.formats import reader_of

NUMBERS = np.arange(120).reshape(4, 5, 6)
VOXELS = {
    "uint32": (NUMBERS + 3_000_000_000).astype(np.uint32),
    "int64": NUMBERS + 2**53 + 1,
    "float64": NUMBERS / 7 + 2.0**25,
}


@pytest.mark.parametrize("kind", VOXELS)
@pytest.mark.parametrize("suffix", [".nii", ".nii.gz", ".nrrd", ".nhdr", ".mha", ".mhd"])
def test_large_numbers_are_read_in_their_own_type(tmp_path, suffix, kind):
    path = tmp_path / f"a{suffix}"
    if suffix.startswith(".nii"):
        nibabel.save(nibabel.Nifti1Image(VOXELS[kind], np.eye(4), dtype=kind), path)
    else:
        SimpleITK.WriteImage(SimpleITK.GetImageFromArray(VOXELS[kind].T), path)
    voxels = reader_of(path.name).read(path).voxels[0]
    assert voxels.dtype == kind
    np.testing.assert_array_equal(voxels, VOXELS[kind])


def test_large_numbers_that_nifti_scales_keep_their_steps(tmp_path):
    image = nibabel.Nifti1Image(NUMBERS.astype(np.int32) + 2**25, np.eye(4))
    image.header.set_slope_inter(1, 0.5)
    nibabel.save(image, tmp_path / "a.nii")
    content = bytearray((tmp_path / "a.nii").read_bytes())
    content[112:120] = np.array([1, 0.5], "<f4").tobytes()  # which nibabel leaves out
    (tmp_path / "a.nii").write_bytes(content)
    voxels = reader_of("a.nii").read(tmp_path / "a.nii").voxels[0]
    np.testing.assert_array_equal(voxels, NUMBERS + 2**25 + 0.5)
