"""Headers of text that two readers might read differently, and numbers nobody has room for."""

import os

import nibabel
import numpy as np
import pytest
import SimpleITK

from medssl.data.readers.metaimage import MetaImage
from medssl.data.readers.nifti import Nifti
from medssl.data.readers.nrrd import Nrrd
from medssl.data.verdicts import RefusedError

VOXELS = np.arange(60, dtype=np.int16).reshape(3, 4, 5)
READERS = {"mha": MetaImage(), "mhd": MetaImage(), "nrrd": Nrrd(), "nhdr": Nrrd()}


@pytest.fixture
def written(tmp_path):
    """Write a volume with a changed header, beside a link that leads out of its folder."""
    folder = tmp_path / "in"
    folder.mkdir()
    (tmp_path / "secret.raw").write_bytes(bytes(1000))
    (folder / "link.raw").symlink_to(tmp_path / "secret.raw")
    os.mkfifo(folder / "pipe.raw")

    def write(suffix, old, new):
        path = folder / f"v.{suffix}"
        SimpleITK.WriteImage(SimpleITK.GetImageFromArray(VOXELS), path)
        content = path.read_bytes()
        assert old in content
        path.write_bytes(content.replace(old, new, 1))
        return path

    return write


ELSEWHERE = [
    ("mhd", b"ElementDataFile = v.raw", b"ElementDataFile = ../secret.raw"),
    ("mhd", b"ElementDataFile = v.raw", b"ElementDataFile = link.raw"),
    ("mhd", b"ElementDataFile = v.raw", b"ElementDataFile = pipe.raw"),
    ("mhd", b"ElementDataFile = v.raw", b"ElementDataFile = v.raw\0/../link.raw"),
    # ITK takes a colon for a separator, too, and no character but the line feed for an end.
    ("mha", b"ElementDataFile = LOCAL", b"ElementDataFile: link.raw"),
    ("mha", b"ElementDataFile", b"Comment = \x85ElementDataFile = LOCAL\nElementDataFile"),
    ("mha", b"ElementDataFile = LOCAL", b"ElementDataFile = lOCAL"),
    ("nhdr", b"data file: v.raw", b"data file: ../secret.raw"),
    ("nhdr", b"data file: v.raw", b"data file: link.raw"),
    ("nhdr", b"data file: v.raw", b"data file: pipe.raw"),
    ("nhdr", b"data file: v.raw", b"Data File: link.raw"),
    ("nhdr", b"data file: v.raw", b"datafile: link.raw\n#\x85data file: v.raw"),
    ("nhdr", b"data file: v.raw", b"data file: link.raw\ndata file: v.raw"),
    ("nhdr", b"data file: v.raw", b" \ndata file: link.raw"),
    ("nhdr", b"data file: v.raw", b"data file: " + b"x" * 900),
]


@pytest.mark.parametrize(("suffix", "old", "new"), ELSEWHERE)
@pytest.mark.parametrize("call", ["grid", "read"])
def test_no_other_file_is_read_for_voxels(written, suffix, old, new, call):
    path = written(suffix, old, new)
    if b"Comment" in new:  # the voxels are there: the field before was part of a comment
        assert MetaImage().parts(path) == ()
        return
    with pytest.raises(RefusedError):
        getattr(READERS[suffix], call)(path)


# Each of these ended the process within ITK.
@pytest.mark.parametrize(
    ("suffix", "old", "new"),
    [
        ("mha", b"NDims = 3", b"NDims = 18446744073709551617"),
        ("mha", b"NDims = 3", b"NDims =4294967297 3"),
        ("mha", b"NDims = 3", b"NDims = 9"),
        ("mha", b"DimSize = 5 4 3", b"DimSize = 9223372036854775807 9223372036854775807 3"),
        ("nrrd", b"endian: little", b"endian: " + b"1" * 5000),
        ("nrrd", b"encoding: raw", b"encoding: " + b"1" * 5000),
        ("nrrd", b"type: short", b"type: " + b"1" * 5000),
        ("nrrd", b"space: left", b"space: " + b"1" * 5000),
    ],
)
def test_what_itk_has_no_room_for_does_not_reach_it(written, suffix, old, new):
    with pytest.raises(RefusedError):
        READERS[suffix].grid(written(suffix, old, new))


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("dim", [3, 30_000, 30_000, 30_000, 1, 1, 1, 1], "truncated: 54000000000000 bytes"),
        ("dim", [4, 1, 1, 1, 20_000, 1, 1, 1], "20000 frames"),
        ("vox_offset", 1e9, "truncated"),
        ("vox_offset", -16, "unreadable|truncated"),
        ("datatype", 57, "unreadable"),
        ("qoffset_x", 1e30, "no_geometry"),
    ],
)
@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_nifti_that_promises_more_than_there_is_is_refused(tmp_path, field, value, message, suffix):
    path = tmp_path / f"v{suffix}"
    image = nibabel.Nifti1Image(np.zeros((20, 20, 50), np.int16), np.eye(4))
    image.header.set_sform(None, 0)
    image.header.set_qform(np.eye(4), 1)
    header = image.header.copy()
    header["vox_offset"], header["magic"] = 352, b"n+1"
    header[field] = value
    with nibabel.openers.ImageOpener(path, "wb") as file:
        file.write(header.binaryblock + bytes(4) + image.get_fdata().astype(np.int16).tobytes())
    with pytest.raises(RefusedError, match=message):
        Nifti().grid(path)


def test_packed_frames_that_end_early_are_refused_at_once(tmp_path):
    image = nibabel.Nifti1Image(np.zeros((4, 4, 4, 9), np.int16), np.eye(4))
    image.header.set_sform(np.eye(4), 1)
    image.header["vox_offset"], image.header["magic"] = 352, b"n+1"
    with nibabel.openers.ImageOpener(tmp_path / "v.nii.gz", "wb") as file:
        file.write(image.header.binaryblock + bytes(4) + bytes(1000))
    with pytest.raises(RefusedError, match="truncated: its packed frames end"):
        Nifti().grid(tmp_path / "v.nii.gz")


def test_extensions_are_not_read(tmp_path):
    image = nibabel.Nifti1Image(VOXELS, np.eye(4))
    image.header.extensions.append(nibabel.nifti1.Nifti1Extension("comment", b"Doe^Jane" * 20))
    nibabel.save(image, tmp_path / "v.nii")
    content = bytearray((tmp_path / "v.nii").read_bytes())
    content[352:356] = (2**31 - 1).to_bytes(4, "little")  # its length
    (tmp_path / "v.nii").write_bytes(content)
    np.testing.assert_array_equal(Nifti().read(tmp_path / "v.nii").voxels[0], VOXELS)


@pytest.mark.parametrize("name", ["p.nii", "p.nii.gz", "p.nrrd", "p.mha"])
def test_a_pipe_is_not_opened(tmp_path, name):
    os.mkfifo(tmp_path / name)
    reader = Nifti() if ".nii" in name else READERS[name.rpartition(".")[2]]
    with pytest.raises(RefusedError, match="unreadable: no regular file"):
        reader.grid(tmp_path / name)
