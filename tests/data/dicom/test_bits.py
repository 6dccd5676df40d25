"""Packed frames, against pydicom's unpacking of all of them at once."""

import numpy as np
import pytest

from medssl.data.dicom.bits import read_bits
from medssl.data.verdicts import Code, RefusedError


@pytest.mark.parametrize("shape", [(5, 6), (4, 4), (3, 3), (1, 1)])
def test_any_frames_are_what_pydicom_unpacks_as_a_whole(tmp_path, dicom, voxels, affine, shape):
    frames = np.random.default_rng(0).integers(0, 2, (9, *shape)).astype(np.uint8)
    found = dicom.enhanced_of(voxels[None], affine)
    found.NumberOfFrames, (found.Rows, found.Columns) = len(frames), shape
    found.BitsAllocated = found.BitsStored = 1
    found.HighBit = found.PixelRepresentation = 0
    packed = np.packbits(frames.ravel(), bitorder="little").tobytes()
    found.PixelData = packed + b"\0" * (len(packed) % 2)
    path = dicom.save(found, tmp_path / "a.dcm")
    whole = found.pixel_array
    np.testing.assert_array_equal(whole, frames)
    numbers = [9, 2, 3, 1, 3]
    for number, frame in zip(numbers, read_bits(path, numbers), strict=True):
        np.testing.assert_array_equal(frame, whole[number - 1])
    with pytest.raises(RefusedError, match="99 frames of") as caught:
        list(read_bits(path, [99]))
    assert (caught.value.code, caught.value.path) == (Code.TRUNCATED, path)
