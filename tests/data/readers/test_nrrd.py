"""NRRD files written byte by byte, so that what is read is compared with the format's own words."""

import gzip

import numpy as np
import pytest

from medssl.data.readers.nrrd import Nrrd
from medssl.data.verdicts import RefusedError
from medssl.errors import DataError

VOXELS = np.arange(60, dtype=np.int16).reshape(3, 4, 5) - 7
# Steps of 2, 3 and 4 mm, turned by a quarter about the third axis, as the header counts them.
DIRECTIONS = "(0,2,0) (-3,0,0) (0,0,4)"
AFFINE = np.array([[0, -3, 0, 10], [2, 0, 0, -20], [0, 0, 4, 30], [0, 0, 0, 1]], float)
TO_RAS = {
    "right-anterior-superior": [1, 1, 1],
    "RAS": [1, 1, 1],
    "left-posterior-superior": [-1, -1, 1],
    "LAS": [-1, 1, 1],
}


def write(path, voxels=VOXELS, *, content=None, **fields):
    """Write voxels in (i, j, k) order; the first axis is the fastest. None leaves a field out."""
    said = {
        "type": "short",
        "dimension": voxels.ndim,
        "space": "left-posterior-superior",
        "sizes": " ".join(map(str, voxels.shape)),
        "space directions": DIRECTIONS,
        "endian": "little",
        "encoding": "raw",
        "space origin": "(10,-20,30)",
    } | {name.replace("_", " "): value for name, value in fields.items()}
    lines = [f"{name}: {value}" for name, value in said.items() if value is not None]
    body = voxels.astype("<i2").tobytes(order="F") if content is None else content
    path.write_bytes("\n".join(["NRRD0004", "# made by hand", *lines, "", ""]).encode() + body)
    return path


@pytest.mark.parametrize("space", TO_RAS)
def test_a_volume_lies_where_its_space_says(tmp_path, space):
    path = write(tmp_path / "v.nrrd", space=space)
    expected = np.diag([*TO_RAS[space], 1]) @ AFFINE
    volume, (shape, affine) = Nrrd().read(path), Nrrd().grid(path)
    np.testing.assert_array_equal(volume.voxels, VOXELS[None])
    assert volume.voxels.dtype == np.int16
    assert shape == VOXELS.shape
    np.testing.assert_allclose(volume.affine, expected, atol=1e-9)
    np.testing.assert_allclose(affine, expected, atol=1e-9)


def test_voxels_may_be_packed_or_in_a_file_beside(tmp_path):
    raw = VOXELS.astype("<i2").tobytes(order="F")
    packed = write(tmp_path / "v.nrrd", content=gzip.compress(raw), encoding="gzip")
    (tmp_path / "v.raw").write_bytes(raw)
    apart = write(tmp_path / "v.nhdr", content=b"", data_file="v.raw")
    for path in (packed, apart):
        assert Nrrd().grid(path)[0] == VOXELS.shape
        np.testing.assert_array_equal(Nrrd().read(path).voxels[0], VOXELS)
    assert Nrrd().parts(packed) == ()
    assert Nrrd().parts(apart) == (tmp_path / "v.raw",)


@pytest.mark.parametrize("axis", [0, 3])
def test_an_axis_that_is_a_list_is_frames(tmp_path, axis):
    voxels = np.stack([VOXELS, VOXELS + 100], axis=axis)
    kinds, directions = ["domain"] * 3, DIRECTIONS.split()
    kinds.insert(axis, "list")
    directions.insert(axis, "none")
    said = {"kinds": " ".join(kinds), "space_directions": " ".join(directions)}
    path = write(tmp_path / "v.nrrd", voxels, **said)
    voxels = np.moveaxis(voxels, axis, 3)
    assert Nrrd().grid(path)[0] == voxels.shape
    np.testing.assert_array_equal(Nrrd().read(path, frame=1).voxels[0], VOXELS + 100)
    with pytest.raises(DataError, match=r"frame None asks for 3 axes, .* \(3, 4, 5, 2\)"):
        Nrrd().read(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"space": None}, "no_geometry: no space that means a patient"),
        ({"space": "scanner-xyz"}, "no_geometry: no space that means a patient"),
        ({"space_directions": None, "spacings": "2 3 4"}, "no_geometry"),
        ({"space_directions": "(0,2,0) (0,4,0) (0,0,4)"}, "no_geometry|unreadable"),
        ({"space_directions": "(2,0,0) (1,3,0) (0,0,4)"}, "sheared"),
        ({"sizes": "3 4 50"}, "truncated: 1200 bytes of voxels are promised, its file has"),
        ({"sizes": "3 4"}, "unreadable"),
        (
            {
                "dimension": 4,
                "sizes": "3 4 1 5",
                "kinds": "RGB-color domain domain domain",
                "space_directions": f"none {DIRECTIONS}",
            },
            "unsupported: its voxels are vector of 16-bit signed integer, not single",
        ),
        ({"data_file": "../v.raw"}, "unsupported: its voxels lie outside of its own folder"),
        ({"data_file": "/etc/hostname"}, "unsupported: its voxels lie outside of its own folder"),
        ({"data_file": "v%02d.raw 1 5 1"}, "unsupported: its voxels lie in several files"),
        ({"data_file": "gone.raw"}, "truncated: the file of its voxels is not there"),
    ],
)
def test_a_header_without_a_volume_or_its_place_is_refused(tmp_path, change, message):
    folder = tmp_path / "in"
    folder.mkdir()
    (tmp_path / "v.raw").write_bytes(b"0" * 1000)
    with pytest.raises(RefusedError, match=message):
        Nrrd().grid(write(folder / "v.nrrd", **change))


def test_a_link_out_of_the_folder_is_refused_before_it_is_read(tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    (tmp_path / "secret").write_bytes(b"0" * 1000)
    (folder / "v.raw").symlink_to(tmp_path / "secret")
    path = write(folder / "v.nhdr", content=b"", data_file="v.raw")
    for read in (Nrrd().grid, Nrrd().read):
        with pytest.raises(RefusedError, match="outside of its own folder"):
            read(path)


def test_packed_voxels_that_end_early_are_refused(tmp_path):
    whole = gzip.compress(np.random.default_rng(0).bytes(VOXELS.nbytes))
    path = write(tmp_path / "v.nrrd", content=whole[:-40], encoding="gzip")
    with pytest.raises(RefusedError, match="truncated: its voxels cannot be read"):
        Nrrd().read(path)
