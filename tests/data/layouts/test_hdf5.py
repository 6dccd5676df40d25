"""HDF5 written by h5py, read back as volumes; the array itself is what they are compared with."""

import os
from itertools import permutations

import h5py
import nibabel
import numpy as np
import pytest

from medssl.data.layouts.hdf5 import Hdf5
from medssl.data.verdicts import RefusedError
from medssl.errors import DataError

# Lengths along i, j and k that no two axes share.
VOXELS = np.arange(60, dtype=np.int16).reshape(3, 4, 5) - 7
LABEL = (VOXELS % 3 == 0).astype(np.uint8)
SPACING = (0.5, 2.0, 3.0)


def write(path, axes="kji", *, image=VOXELS, label=LABEL, **how):
    """Write arrays that are (i, j, k), or (i, j, k, t), in another order of axes."""
    with h5py.File(path, "w") as file:
        for key, array in (("image", image), ("label", label)):
            if array is not None:
                kept = axes if array.ndim == len(axes) else axes.replace("t", "")
                order = ["ijkt".index(axis) for axis in kept]
                file.create_dataset(key, data=array.transpose(order), **how)
    return path


def layout(**change):
    settings = {"image": "image", "label": "label", "axes": "kji", "spacing_mm": SPACING}
    return Hdf5(**settings | change)


@pytest.mark.parametrize("axes", ["".join(axes) for axes in permutations("ijk")])
def test_axes_are_in_the_order_that_the_config_names(tmp_path, axes):
    path = write(tmp_path / "v.h5", axes)
    reader = layout(axes=axes)
    image, label = reader.read(path), reader.read_label(path)
    np.testing.assert_array_equal(image.voxels[0], VOXELS)
    np.testing.assert_array_equal(label.voxels[0], LABEL)
    assert (image.voxels.dtype, label.voxels.dtype) == (np.int16, np.uint8)
    shape, affine = reader.grid(path)
    assert shape == VOXELS.shape
    np.testing.assert_array_equal(affine, image.affine)
    np.testing.assert_array_equal(affine, label.affine)


@pytest.mark.parametrize("orientation", ["RAS", "LPS", "PIR", "ILA"])
def test_axes_run_towards_the_sides_that_the_config_names(tmp_path, orientation):
    affine = layout(orientation=orientation).read(write(tmp_path / "v.h5")).affine
    assert "".join(nibabel.aff2axcodes(affine)) == orientation
    np.testing.assert_allclose(nibabel.affines.voxel_sizes(affine), SPACING)
    assert layout(orientation=orientation).attributes == {}


def test_an_unknown_orientation_is_said_to_be_unknown(tmp_path):
    assert layout().attributes == {"orientation": "unknown"}
    affine = layout().read(write(tmp_path / "v.h5")).affine
    np.testing.assert_array_equal(affine, np.diag([*SPACING, 1]))


@pytest.mark.parametrize("dtype", ["<i2", ">i2", "u1", "<u4", "<f2", ">f4", "<f8"])
@pytest.mark.parametrize("how", [{}, {"compression": "gzip", "chunks": True}])
def test_number_types_are_kept(tmp_path, dtype, how):
    image = (VOXELS % 50).astype(dtype)
    read = layout().read(write(tmp_path / "v.h5", image=image, **how)).voxels
    assert read.dtype == np.dtype(dtype)
    np.testing.assert_array_equal(read[0], image)


@pytest.mark.parametrize("axes", ["tkji", "kjit", "ktji"])
def test_an_axis_of_frames_is_cases_that_may_share_a_label(tmp_path, axes):
    image = np.stack([VOXELS, VOXELS + 100], axis=3)
    for label in (LABEL, np.stack([LABEL, LABEL + 1], axis=3)):
        path = write(tmp_path / "v.h5", axes, image=image, label=label)
        reader = layout(axes=axes)
        assert reader.grid(path)[0] == (3, 4, 5, 2)
        assert [held.has_label for held in reader.held(path)] == [True, True]
        np.testing.assert_array_equal(reader.read(path, frame=1).voxels[0], VOXELS + 100)
        of_frame = label if label.ndim == 3 else label[..., 1]
        np.testing.assert_array_equal(reader.read_label(path, frame=1).voxels[0], of_frame)
    with pytest.raises(DataError, match=r"frame None asks for 3 axes"):
        reader.read(path)
    with pytest.raises(DataError, match=r"there is no frame 2"):
        reader.read(path, frame=2)


def in_array(file):
    file["about/mm"] = [3.0, 2.0, 0.5]


def in_image(file):
    file["image"].attrs["about/mm"] = [3.0, 2.0, 0.5]


def in_file(file):
    file.attrs["about/mm"] = np.float32([3.0, 2.0, 0.5])


@pytest.mark.parametrize("said", [in_array, in_image, in_file])
def test_the_file_may_say_the_spacing(tmp_path, said):
    path = write(tmp_path / "v.h5")
    with h5py.File(path, "a") as file:
        said(file)
    reader = layout(spacing_mm=None, spacing_key="about/mm", spacing_axes="kji")
    np.testing.assert_allclose(np.diag(reader.grid(path)[1])[:3], SPACING)
    with pytest.raises(RefusedError, match="no_geometry: it says no spacing under 'mm'"):
        layout(spacing_mm=None, spacing_key="mm").grid(path)


@pytest.mark.parametrize("wrong", [[1, 0, 1], [1, 1], [1, np.nan, 1], "1 1 1", [-1, 1, 1]])
def test_a_spacing_that_is_none_is_refused(tmp_path, wrong):
    path = write(tmp_path / "v.h5")
    with h5py.File(path, "a") as file:
        file.attrs["mm"] = wrong
    with pytest.raises(RefusedError, match=r"no_geometry: its spacing under 'mm' is \["):
        layout(spacing_mm=None, spacing_key="mm").grid(path)


def test_keys_lead_into_groups(tmp_path):
    with h5py.File(tmp_path / "v.h5", "w") as file:
        file["a/b/image"] = VOXELS
    volume = layout(image="/a/b/image", label=None, axes="ijk").read(tmp_path / "v.h5")
    np.testing.assert_array_equal(volume.voxels[0], VOXELS)


def test_an_image_without_label_is_refused_or_kept(tmp_path):
    path = write(tmp_path / "v.h5", label=None)
    with pytest.raises(RefusedError, match="image_without_label"):
        layout().held(path)
    assert not layout(unlabeled="keep").held(path)[0].has_label
    assert not layout(label=None).held(path)[0].has_label


def test_a_label_of_another_shape_is_refused(tmp_path):
    path = write(tmp_path / "v.h5", label=LABEL[:, :, 1:])
    with pytest.raises(RefusedError, match=r"label_grid_differs: a label of shape \(3, 4, 4\)"):
        layout(unlabeled="keep").held(path)


def external_link(file, folder):
    file["image"] = h5py.ExternalLink(str(folder / "other.h5"), "image")


def dangling_link(file, folder):
    file["image"] = h5py.ExternalLink(str(folder / "gone.h5"), "image")


def soft_link_to_a_link(file, folder):
    file["there"] = h5py.ExternalLink(str(folder / "other.h5"), "/")
    file["image"] = h5py.SoftLink("/there/image")


def virtual(file, folder):
    made = h5py.VirtualLayout((5, 4, 3), np.int16)
    made[:] = h5py.VirtualSource(str(folder / "other.h5"), "image", (5, 4, 3))
    file.create_virtual_dataset("image", made)


def external_storage(file, folder):
    raw = str(folder / "secret")
    file.create_dataset("image", (5, 4, 3), np.int16, external=[(raw, 0, 120)])


def booleans(file, folder):
    file["image"] = VOXELS > 0


def texts(file, folder):
    file["image"] = np.full((5, 4, 3), b"Zephyrowska")


def records(file, folder):
    file["image"] = np.zeros((5, 4, 3), [("Zephyrowska", "i4")])


def complex_numbers(file, folder):
    file["image"] = VOXELS.astype(complex)


def a_group(file, folder):
    file.create_group("image")


def nothing(file, folder):
    file["images"] = VOXELS


def too_few_axes(file, folder):
    file["image"] = VOXELS[0]


def an_empty_axis(file, folder):
    file["image"] = np.zeros((0, 4, 3), np.int16)


def never_written(file, folder):
    file.create_dataset("image", (10**6, 10**6, 10**6), np.float64, chunks=(1, 100, 100))


def packed_to_nothing(file, folder):
    data = file.create_dataset(
        "image", (10**5,) * 3, np.uint8, chunks=(1, 100, 100), compression="gzip"
    )
    data[0, :100, :100] = 1


def alien_filter(file, folder):
    # Not there: 32019, of a registered filter that no package here brings along.
    made = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    made.set_chunk((5, 4, 3))
    made.set_filter(32019, h5py.h5z.FLAG_OPTIONAL, ())
    space = h5py.h5s.create_simple((5, 4, 3))
    data = h5py.h5d.create(file.id, b"image", h5py.h5t.NATIVE_INT16, space, made)
    data.write(h5py.h5s.ALL, h5py.h5s.ALL, np.ascontiguousarray(VOXELS.T))


@pytest.mark.parametrize(
    ("put", "message"),
    [
        (external_link, "unsupported: 'image' is a link"),
        (dangling_link, "unsupported: 'image' is a link"),
        (soft_link_to_a_link, "unsupported: 'image' is a link"),
        (virtual, "unsupported: the voxels of 'image' lie in other files"),
        (external_storage, "unsupported: the voxels of 'image' lie in other files"),
        (booleans, "unsupported: the voxels of 'image' are bool, not"),
        (texts, "unsupported: the voxels of 'image' are bytes88, not"),
        (records, "unsupported: the voxels of 'image' are void32, not"),
        (complex_numbers, "unsupported: the voxels of 'image' are complex128, not"),
        (a_group, "unsupported: what lies under 'image' is no array"),
        (nothing, "not_an_image: an HDF5 file that holds nothing under 'image'"),
        (too_few_axes, r"unsupported: an array of shape \(4, 5\); the config names its axes 'kji'"),
        (an_empty_axis, r"unsupported: a HDF5 volume has 3 axes"),
        (never_written, "truncated: 8000000000000000000 bytes of voxels are promised"),
        (packed_to_nothing, "truncated: 1000000000000000 bytes of voxels are promised"),
        (alien_filter, "undecodable: 'image' is packed by HDF5's filter 32019"),
    ],
)
def test_what_is_no_image_of_its_own_is_refused(tmp_path, put, message):
    write(tmp_path / "other.h5")
    (tmp_path / "secret").write_bytes(b"s" * 120)
    with h5py.File(tmp_path / "v.h5", "w") as file:
        put(file, tmp_path)
    with pytest.raises(RefusedError, match=message):
        layout().grid(tmp_path / "v.h5")


def test_a_label_that_is_a_link_is_refused(tmp_path):
    write(tmp_path / "other.h5")
    with h5py.File(write(tmp_path / "v.h5", label=None), "a") as file:
        file["label"] = h5py.ExternalLink(str(tmp_path / "other.h5"), "label")
    with pytest.raises(RefusedError, match="unsupported: 'label' is a link"):
        layout(unlabeled="keep").held(tmp_path / "v.h5")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (lambda whole: b"", "not_an_image"),
        (lambda whole: b"no HDF5 at all" * 99, "not_an_image"),
        (lambda whole: whole[:-100], "truncated: an HDF5 file that is cut off"),
        (lambda whole: whole[:50] + b"\xff" * 46 + whole[96:], "unreadable|truncated"),
    ],
)
def test_a_damaged_file_is_refused(tmp_path, content, message):
    path = write(tmp_path / "v.h5")
    path.write_bytes(content(path.read_bytes()))
    with pytest.raises(RefusedError, match=message):
        layout().grid(path)


def test_voxels_that_cannot_be_unpacked_are_refused(tmp_path):
    path = write(tmp_path / "v.h5", compression="gzip", fletcher32=True)
    with h5py.File(path) as file:
        chunk = file["image"].id.get_chunk_info(0)
    whole = bytearray(path.read_bytes())
    whole[chunk.byte_offset + 9] ^= 0x55
    path.write_bytes(whole)
    layout().grid(path)
    with pytest.raises(RefusedError, match="truncated: its voxels cannot be read"):
        layout().read(path)


def test_what_is_not_there_or_no_file_is_named(tmp_path):
    with pytest.raises(DataError, match="there is no file"):
        layout().grid(tmp_path / "gone.h5")
    os.mkfifo(tmp_path / "pipe.h5")
    with pytest.raises(RefusedError, match="unreadable: no regular file"):
        layout().grid(tmp_path / "pipe.h5")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"axes": "kj"}, "axes must name i, j and k once each"),
        ({"axes": "kjii"}, "axes must name"),
        ({"axes": "ckji"}, "axes must name"),
        ({"orientation": "LPR"}, "orientation must say towards which side"),
        ({"orientation": "LP"}, "orientation must say"),
        ({"orientation": "lps"}, "orientation must say"),
        ({"spacing_key": "mm"}, "expected exactly one of spacing_mm and spacing_key"),
        ({"spacing_mm": None}, "expected exactly one of spacing_mm and spacing_key"),
        ({"spacing_mm": (1.0, 0.0, 1.0)}, "spacing_mm must be three positive numbers"),
        ({"spacing_axes": "xyz"}, "spacing_axes must name i, j and k"),
    ],
)
def test_settings_that_say_no_geometry_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        layout(**change)
