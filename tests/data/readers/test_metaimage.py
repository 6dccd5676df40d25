"""MetaImage files written byte by byte, to compare what is read with the format's words."""

import zlib

import numpy as np
import pytest

from medssl.data.readers.metaimage import MetaImage
from medssl.data.verdicts import RefusedError
from medssl.errors import DataError

VOXELS = np.arange(60, dtype=np.int16).reshape(3, 4, 5) - 7
# Steps of 2, 3 and 4 mm, turned by a quarter about the third axis: in LPS+, then in RAS+.
LPS = np.array([[0, -3, 0, 10], [2, 0, 0, -20], [0, 0, 4, 30], [0, 0, 0, 1]], float)
AFFINE = np.diag([-1, -1, 1, 1]) @ LPS


def write(path, voxels=VOXELS, *, content=None, **fields):
    """Write voxels in (i, j, k) order; the first axis is the fastest. None leaves a field out."""
    said = {
        "ObjectType": "Image",
        "NDims": voxels.ndim,
        "BinaryData": "True",
        "BinaryDataByteOrderMSB": "False",
        "CompressedData": "False",
        "TransformMatrix": "0 1 0 -1 0 0 0 0 1",
        "Offset": "10 -20 30",
        "ElementSpacing": "2 3 4",
        "DimSize": " ".join(map(str, voxels.shape)),
        "ElementType": "MET_SHORT",
    } | fields
    said["ElementDataFile"] = said.pop("ElementDataFile", "LOCAL")
    lines = [f"{name} = {value}" for name, value in said.items() if value is not None]
    body = voxels.astype("<i2").tobytes(order="F") if content is None else content
    path.write_bytes("\n".join([*lines, ""]).encode() + body)
    return path


def compressed(content):
    return {
        "content": content,
        "CompressedData": "True",
        "CompressedDataSize": len(content),
    }


def test_a_volume_lies_where_its_header_says(tmp_path):
    path = write(tmp_path / "v.mha")
    volume, (shape, affine) = MetaImage().read(path), MetaImage().grid(path)
    np.testing.assert_array_equal(volume.voxels, VOXELS[None])
    assert volume.voxels.dtype == np.int16
    assert shape == VOXELS.shape
    np.testing.assert_allclose(volume.affine, AFFINE, atol=1e-9)
    np.testing.assert_allclose(affine, AFFINE, atol=1e-9)


def test_voxels_may_be_packed_or_in_a_file_beside(tmp_path):
    raw = VOXELS.astype("<i2").tobytes(order="F")
    packed = write(tmp_path / "v.mha", **compressed(zlib.compress(raw)))
    (tmp_path / "v.raw").write_bytes(raw)
    apart = write(tmp_path / "v.mhd", content=b"", ElementDataFile="v.raw")
    for path in (packed, apart):
        assert MetaImage().grid(path)[0] == VOXELS.shape
        np.testing.assert_array_equal(MetaImage().read(path).voxels[0], VOXELS)
    assert MetaImage().parts(packed) == ()
    assert MetaImage().parts(apart) == (tmp_path / "v.raw",)


def test_a_fourth_axis_is_frames(tmp_path):
    voxels = np.stack([VOXELS, VOXELS + 100], axis=3)
    axes = "0 1 0 0 -1 0 0 0 0 0 1 0 0 0 0 1"
    fields = {"TransformMatrix": axes, "Offset": "10 -20 30 0", "ElementSpacing": "2 3 4 1"}
    path = write(tmp_path / "v.mha", voxels, **fields)
    assert MetaImage().grid(path)[0] == voxels.shape
    volume = MetaImage().read(path, frame=1)
    np.testing.assert_array_equal(volume.voxels[0], VOXELS + 100)
    np.testing.assert_allclose(volume.affine, AFFINE, atol=1e-9)
    with pytest.raises(DataError, match=r"frame None asks for 3 axes, .* \(3, 4, 5, 2\)"):
        MetaImage().read(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"TransformMatrix": None}, "no_geometry: its axes or their steps are not set"),
        ({"ElementSpacing": None}, "no_geometry: its axes or their steps are not set"),
        ({"TransformMatrix": "1 0 0 1 0 0 0 0 1"}, "no_geometry|unreadable"),
        ({"TransformMatrix": "1 0 0 0.5 0.8 0 0 0 1"}, "sheared"),
        ({"DimSize": "3 4 50"}, "truncated: 1200 bytes of voxels are promised, its file has"),
        ({"NDims": 2, "DimSize": "3 4"}, "unsupported|unreadable"),
        ({"ElementNumberOfChannels": 3}, "unsupported: its voxels are .*vector"),
        ({"ElementDataFile": "../v.raw"}, "unsupported: its voxels lie outside"),
        ({"ElementDataFile": "/etc/hostname"}, "unsupported: its voxels lie outside"),
        ({"ElementDataFile": "LIST"}, "unsupported: its voxels lie in several files"),
        ({"ElementDataFile": "gone.raw"}, "truncated: the file of its voxels is not there"),
    ],
)
def test_a_header_without_a_volume_or_its_place_is_refused(tmp_path, change, message):
    folder = tmp_path / "in"
    folder.mkdir()
    (tmp_path / "v.raw").write_bytes(b"0" * 1000)
    with pytest.raises(RefusedError, match=message):
        MetaImage().grid(write(folder / "v.mha", **change))


def test_packed_voxels_that_end_early_are_refused(tmp_path):
    whole = zlib.compress(np.random.default_rng(0).bytes(VOXELS.nbytes))
    path = write(tmp_path / "v.mha", **compressed(whole[:-40]))
    with pytest.raises(RefusedError, match="truncated: its packed voxels end early"):
        MetaImage().read(path)
