"""MedMNIST archives written by NumPy, read row by row; NumPy's own reading is the oracle."""

import gc
import io
import sys
import tracemalloc
import zipfile
from concurrent.futures import ThreadPoolExecutor

import nibabel
import numpy as np
import pytest

from medssl.data.layouts import _npz
from medssl.data.layouts.medmnist import Medmnist
from medssl.data.verdicts import RefusedError
from medssl.errors import DataError

COUNTS = {"train": 5, "val": 2, "test": 3}
LAYOUT = Medmnist(spacing_mm=(2.0, 1.5, 1.0))


def write(path, *, size=(5, 4, 6), columns=1, save=np.savez_compressed, **change):
    """Write an archive; an array that is None is left out."""
    rng = np.random.default_rng(0)
    arrays = {}
    for split, count in COUNTS.items():
        arrays[f"{split}_images"] = rng.integers(0, 255, (count, *size)).astype(np.uint8)
        arrays[f"{split}_labels"] = rng.integers(0, 2, (count, columns))
    arrays |= change
    save(path, **{name: array for name, array in arrays.items() if array is not None})
    return path


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_rows_are_frames_in_the_order_of_the_splits(tmp_path, save):
    path = write(tmp_path / "x.npz", save=save)
    shape, affine = LAYOUT.grid(path)
    assert shape == (6, 4, 5, 10)
    np.testing.assert_array_equal(affine, np.diag([2, 1.5, 1, 1]))
    found = np.load(path)
    images = np.concatenate([found[f"{split}_images"] for split in COUNTS])
    labels = np.concatenate([found[f"{split}_labels"] for split in COUNTS])
    for frame in (9, 0, 4, 5, 6, 7, 3):
        volume = LAYOUT.read(path, frame=frame)
        np.testing.assert_array_equal(volume.voxels[0], images[frame].T)
        assert volume.voxels.dtype == np.uint8
        np.testing.assert_array_equal(volume.affine, affine)
    held = LAYOUT.held(path)
    assert [row.split for row in held] == [s for s, count in COUNTS.items() for _ in range(count)]
    assert [row.classes for row in held] == [(str(label),) for label in labels[:, 0]]
    assert held[6].name == "val/1"
    assert not any(row.has_label for row in held)


def test_gray_images_are_volumes_of_one_slice(tmp_path):
    path = write(tmp_path / "x.npz", size=(4, 3))
    assert LAYOUT.grid(path)[0] == (3, 4, 1, 10)
    expected = np.load(path)["val_images"][1].T[None, :, :, None]
    np.testing.assert_array_equal(LAYOUT.read(path, frame=6).voxels, expected)


def test_several_columns_are_several_classes(tmp_path):
    labels = np.array([[0, 1, 1], [0, 0, 0]])
    path = write(tmp_path / "x.npz", columns=3, val_labels=labels)
    named = Medmnist(spacing_mm=(1.0, 1.0, 1.0), classes=("a", "b", "c"))
    assert [row.classes for row in named.held(path)[5:7]] == [("b", "c"), ()]


def test_classes_have_the_names_of_the_config(tmp_path):
    path = write(tmp_path / "x.npz", val_labels=np.array([[1], [0]]))
    named = Medmnist(spacing_mm=(1.0, 1.0, 1.0), classes=("a", "b"))
    assert [row.classes for row in named.held(path)[5:7]] == [("b",), ("a",)]
    path = write(tmp_path / "x.npz", val_labels=np.array([[1], [2]]))
    with pytest.raises(RefusedError, match="unsupported: a label 2; the config names 2 classes"):
        named.held(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"size": (5, 4, 3, 3)}, r"unsupported: images of shape \(5, 4, 3, 3\)"),
        ({"size": (5,)}, r"unsupported: images of shape \(5,\)"),
        ({"size": (28, 28, 3)}, r"color: color images of shape \(28, 28, 3\)"),
        ({"val_images": None}, r"not_an_image: an archive without the arrays \['val_images.npy'\]"),
        ({"val_labels": None}, "not_an_image: an archive without the arrays"),
        ({"val_images": np.zeros((2, 5, 4, 2), np.uint8)}, "unsupported: .* that are not alike"),
        ({"val_images": np.zeros((2, 5, 4, 6), np.int16)}, "unsupported: .* that are not alike"),
        ({"val_images": np.full((2, 5, 4, 6), "x")}, "unsupported: .* else than plain numbers"),
        ({"val_images": np.array([{}, {}])}, "unsupported: .* else than plain numbers"),
        ({"val_images": np.zeros((6, 4, 5, 2), np.uint8).T}, "unsupported: .* row after row"),
        ({"val_labels": np.zeros((3, 1), int)}, r"unsupported: labels of shape \(3, 1\) for"),
        ({"val_labels": np.zeros(2, int)}, r"unsupported: labels of shape \(2,\) for"),
    ],
)
def test_an_archive_that_is_laid_out_otherwise_is_refused(tmp_path, change, message):
    path = write(tmp_path / "x.npz", **change)
    with pytest.raises(RefusedError, match=message):
        LAYOUT.grid(path), LAYOUT.held(path)


def test_objects_are_never_unpickled(tmp_path):
    class Boom:
        def __reduce__(self):
            return (print, ("unpickled",))

    path = write(tmp_path / "x.npz", train_labels=np.array([[Boom()]] * 5))
    with pytest.raises(RefusedError, match="else than plain numbers"):
        LAYOUT.held(path)


def flipped(whole):
    place = whole.index(b"PK\x03\x04") + 300
    return whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :]


@pytest.mark.parametrize(
    ("content", "save"),
    [
        (lambda whole: b"", np.savez),
        (lambda whole: whole[:-30], np.savez),
        (flipped, np.savez),
        (flipped, np.savez_compressed),
    ],
)
def test_a_damaged_archive_is_refused(tmp_path, content, save):
    path = write(tmp_path / "x.npz", save=save)
    path.write_bytes(content(path.read_bytes()))
    with pytest.raises(RefusedError, match="truncated"):
        LAYOUT.grid(path), LAYOUT.held(path)


def test_an_array_that_promises_more_than_there_is_is_refused(tmp_path):
    path = write(tmp_path / "x.npz", train_images=None)
    head = io.BytesIO()
    said = {"descr": "|u1", "fortran_order": False, "shape": (10**12, 5, 4, 6)}
    np.lib.format.write_array_header_1_0(head, said)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("train_images.npy", head.getvalue() + b"0" * 120)
    with pytest.raises(RefusedError, match="truncated: an array of 120000000000128 bytes"):
        LAYOUT.grid(path)


def test_a_row_that_is_not_there_is_named(tmp_path):
    path = write(tmp_path / "x.npz")
    with pytest.raises(DataError, match="there is no frame 10"):
        LAYOUT.read(path, frame=10)
    with pytest.raises(DataError, match="there is no file"):
        LAYOUT.read(tmp_path / "gone.npz", frame=0)


def test_settings_that_name_no_axes_are_refused():
    with pytest.raises(ValueError, match="axes are those of one image, without frames"):
        Medmnist(spacing_mm=(1.0, 1.0, 1.0), axes="tkji")


def test_orientation_is_the_configs():
    said = Medmnist(spacing_mm=(1.0, 1.0, 1.0), orientation="LPS")
    assert (LAYOUT.attributes, said.attributes) == ({"orientation": "unknown"}, {})


def large(path):
    """Rows of 64 KiB, most of which pack well and some not at all."""
    rng = np.random.default_rng(1)
    rows = np.zeros((400, 64, 32, 32), np.uint8)
    rows[::3] = rng.integers(0, 256, (134, 64, 32, 32), np.uint8)
    rows[:, 0, 0, 0] = np.arange(400) % 256
    np.savez_compressed(path, rows=rows)
    return rows


def test_rows_come_in_any_order_and_from_many_threads(tmp_path, monkeypatch):
    monkeypatch.setattr(_npz, "LEAST_STEP_BYTES", 100_000)
    rows = large(tmp_path / "x.npz")
    (array,) = _npz.arrays(tmp_path / "x.npz", ["rows"])
    order = np.random.default_rng(2).permutation(400).tolist()
    with ThreadPoolExecutor(4) as pool:
        for row, found in zip(order, pool.map(lambda n: array.rows(n, n + 1), order), strict=True):
            np.testing.assert_array_equal(found[0], rows[row])


def test_reading_a_row_again_does_not_unpack_all_before_it(tmp_path, monkeypatch):
    large(tmp_path / "x.npz")
    (array,) = _npz.arrays(tmp_path / "x.npz", ["rows"])
    array.rows(399, 400)
    pieces = []
    unpack = _npz._Stream._pieces

    def counted(self, begin):
        for place, piece in unpack(self, begin):
            pieces.append(len(piece))
            yield place, piece

    monkeypatch.setattr(_npz._Stream, "_pieces", counted)
    array.rows(398, 399)
    assert sum(pieces) < 2 * _npz.LEAST_STEP_BYTES + _npz.PIECE_BYTES * 1032  # of 25 MiB


@pytest.mark.long
def test_memory_is_that_of_a_row(tmp_path):
    large(tmp_path / "x.npz")
    (array,) = _npz.arrays(tmp_path / "x.npz", ["rows"])
    tracemalloc.start()
    for row in range(400):
        array.rows(row, row + 1)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 6 << 20  # of 25 MiB


@pytest.mark.mirror
@pytest.mark.slow
def test_a_real_archive_is_what_numpy_reads(mirror):
    path = mirror / "adrenalmnist3d" / "adrenalmnist3d_64.npz"
    found = np.load(path, allow_pickle=False)
    reader = Medmnist(spacing_mm=(1.0, 1.0, 1.0), axes="ijk")
    held = reader.held(path)
    assert [sum(row.split == split for row in held) for split in COUNTS] == [1188, 98, 298]
    assert [int(row.classes[0]) for row in held[1286:]] == found["test_labels"][:, 0].tolist()
    images = found["test_images"]
    for row in (0, 297, 100):
        volume = reader.read(path, frame=1286 + row)
        np.testing.assert_array_equal(volume.voxels[0], images[row])
    assert nibabel.aff2axcodes(volume.affine) == ("R", "A", "S")


@pytest.fixture
def switching():
    """Let threads take turns as often as can be, within Python's parser, too."""
    interval, thresholds = sys.getswitchinterval(), gc.get_threshold()

    def switch(phase, info):
        sum(range(50))

    gc.callbacks.append(switch)
    gc.set_threshold(5)
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)
    gc.set_threshold(*thresholds)
    gc.callbacks.remove(switch)


def test_headers_are_read_from_many_threads(tmp_path, switching):
    path = write(tmp_path / "x.npz", save=np.savez)
    with ThreadPoolExecutor(4) as pool:
        shapes = pool.map(lambda _: LAYOUT.grid(path)[0], range(200))
        assert set(shapes) == {(6, 4, 5, 10)}
