import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import blosc2
import numpy as np
import pytest

from medssl.data import cache
from medssl.data.cache import holds, image_key, label_key, open_cached, write_cached
from medssl.data.preprocessing import Intensity, Preprocessing
from medssl.data.volume import Volume
from medssl.errors import DataError

INTENSITY = Intensity(7.0, 0.1, -2.0, 3.0)
AFFINE = np.array([[0.7, 0.1, 0, 3], [-0.1, 0.9, 0, 1 / 3], [0, 0, 2.5, 11], [0, 0, 0, 1]])


READS = Path("/proc/self/io")


def bytes_read():
    """Return what this process has read so far, from the page cache included."""
    return int(READS.read_text().split()[1])


def flip(path, place, *, bit):
    """Flip a bit of a file, in a new file of its name."""
    content = bytearray(path.read_bytes())
    content[place] ^= 1 << bit
    path.unlink()
    path.write_bytes(content)
    os.utime(path, ns=(0, 0))  # another time than before, on clocks however coarse


def volume(shape=(37, 41, 29), dtype=np.int16, channels=1):
    voxels = np.random.default_rng(0).normal(0, 40, (channels, *shape)).astype(dtype)
    return Volume(voxels, AFFINE)


def written(path, of, **changes):
    about = {
        "intensity": INTENSITY,
        "source_affine": np.diag([-1.0, 2.0, 3.0, 1.0]),
        "source_shape": (29, 37, 41),
        "key": path.stem,
    }
    write_cached(path, of, **(about | changes))
    return open_cached(path)


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int32, np.uint32, np.float32, np.float64])
@pytest.mark.parametrize("shape", [(37, 41, 29), (150, 40, 1), (1, 1, 1)])
def test_what_was_written_is_what_is_read(tmp_path, shape, dtype):
    of = volume(shape, dtype, channels=2)
    cached = written(tmp_path / "v.b2nd", of)
    assert cached.shape == shape
    assert cached.key == "v"
    assert cached.intensity == INTENSITY
    assert cached.source_shape == (29, 37, 41)
    assert cached.raw().dtype == dtype
    np.testing.assert_array_equal(cached.raw(), of.voxels)
    np.testing.assert_array_equal(cached.affine, of.affine)
    np.testing.assert_array_equal(cached.source_affine, np.diag([-1.0, 2.0, 3.0, 1.0]))


def test_voxels_that_are_a_view_are_written_in_their_order(tmp_path):
    of = volume()
    turned = Volume(np.flip(of.voxels.transpose(0, 3, 1, 2), 2), AFFINE)
    np.testing.assert_array_equal(written(tmp_path / "v.b2nd", turned).raw(), turned.voxels)


def test_a_crop_is_normalized_on_reading(tmp_path):
    of = volume(channels=2)
    box = (slice(3, 30), slice(0, 7), slice(28, 29))
    cached = written(tmp_path / "v.b2nd", of)
    expected = ((of.voxels[:, *box] - 7) * 0.1).clip(-2, 3)
    assert cached.read(*box).dtype == np.float32
    np.testing.assert_allclose(cached.read(*box), expected, rtol=1e-6)
    np.testing.assert_array_equal(cached.raw(*box), of.voxels[:, *box])
    np.testing.assert_array_equal(cached.read(slice(5, 6)), cached.read()[:, 5:6])


def test_a_label_is_not_normalized(tmp_path):
    cached = written(tmp_path / "l.b2nd", volume(dtype=np.uint8), intensity=None)
    with pytest.raises(ValueError, match=r"l\.b2nd is a label .* raw\(\)"):
        cached.read()


def test_the_grid_is_the_volumes_without_its_voxels(tmp_path):
    grid = written(tmp_path / "v.b2nd", volume(channels=2)).grid()
    assert grid.voxels.shape == (1, 37, 41, 29)
    assert grid.voxels.strides == (0, 0, 0, 0)
    np.testing.assert_array_equal(grid.affine, AFFINE)


@pytest.mark.skipif(not READS.is_file(), reason="only Linux counts what a process reads")
def test_a_crop_reads_only_the_blocks_that_it_touches(tmp_path):
    path = tmp_path / "v.b2nd"
    cached = written(path, volume((128, 128, 64)))
    cached.raw()  # all chunks are checked by now
    before = bytes_read()
    cached.raw(slice(0, 32), slice(0, 32), slice(0, 8))
    block = bytes_read() - before
    cached.raw(slice(31, 33), slice(31, 33), slice(7, 9))
    blocks = bytes_read() - before - block
    share = path.stat().st_size / (4 * 4 * 8)
    assert 0.5 * share < block < 2 * share + 4096
    assert 6 * share < blocks < 10 * share + 8 * 4096


def test_damage_is_found_by_the_crops_that_touch_its_chunk_and_by_no_other(tmp_path):
    path = tmp_path / "v.b2nd"
    of = volume((260, 40, 40))
    written(path, of)
    flip(path, path.stat().st_size - 9000, bit=3)
    damaged = open_cached(path)
    np.testing.assert_array_equal(damaged.raw(slice(0, 256)), of.voxels[:, :256])
    with pytest.raises(DataError, match=r"v\.b2nd: chunk 2 is damaged.* `medssl cache` again"):
        damaged.raw(slice(0, 257))
    assert not holds(path)


def test_a_foreign_file_is_refused(tmp_path):
    text, array, chunk = (tmp_path / name for name in ("t.b2nd", "a.b2nd", "c.b2nd"))
    text.write_text("not a volume" * 100)
    blosc2.asarray(np.zeros((1, 2, 3, 4)), urlpath=str(array))
    blosc2.SChunk(data=b"1234", urlpath=str(chunk))
    for path in (text, array, chunk):
        with pytest.raises(DataError, match="truncated, of an older format or something else"):
            open_cached(path)


def test_a_file_under_another_name_is_refused(tmp_path):
    written(tmp_path / "v.b2nd", volume())
    (tmp_path / "v.b2nd").rename(tmp_path / "w.b2nd")
    with pytest.raises(DataError, match=r"w\.b2nd: expected the volume of that name, .* of v;"):
        open_cached(tmp_path / "w.b2nd")
    assert not holds(tmp_path / "w.b2nd")


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(DataError, match=r"v\.b2nd: expected a cached volume, there is no such"):
        open_cached(tmp_path / "v.b2nd")


def test_another_format_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(cache, "FORMAT", "medssl.cache 0")
    written(tmp_path / "v.b2nd", volume())
    monkeypatch.undo()
    with pytest.raises(DataError, match=r"the format 'medssl.cache 2', got 'medssl.cache 0'"):
        open_cached(tmp_path / "v.b2nd")


def test_a_write_that_fails_halfway_leaves_what_was_there(tmp_path, monkeypatch):
    def full(_):
        msg = "no space left"
        raise OSError(msg)

    path = tmp_path / "v.b2nd"
    of = volume()
    written(path, of)
    monkeypatch.setattr(cache, "json", SimpleNamespace(dumps=full))
    with pytest.raises(OSError, match="no space left"):
        written(path, volume((3, 3, 3)))
    monkeypatch.undo()
    np.testing.assert_array_equal(open_cached(path).raw(), of.voxels)


def test_what_a_killed_write_left_is_written_over(tmp_path):
    (tmp_path / ".v.b2nd.part").write_bytes(b"half")
    np.testing.assert_array_equal(written(tmp_path / "v.b2nd", volume()).raw(), volume().voxels)
    assert [path.name for path in tmp_path.iterdir()] == ["v.b2nd"]


def test_threads_write_and_read_beside_each_other(tmp_path):
    def there_and_back(number):
        of = volume((40, 40, 10 + number))
        return (written(tmp_path / f"{number}.b2nd", of).raw() == of.voxels).all()

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(there_and_back, range(12)))


def test_a_key_names_digest_modality_contract_and_code(monkeypatch):
    contract = Preprocessing()
    keys = [
        image_key("d", "CT", contract),
        image_key("e", "CT", contract),
        image_key("d", "MR", contract),
        image_key("d", None, contract),
        image_key("d", "CT", replace(contract, percentiles=(2.0, 99.0))),
        image_key("d", "CT", replace(contract, spacing_mm=(1.0, 1.0, 1.0))),
    ]
    assert keys[0] == image_key("d", "CT", Preprocessing())
    monkeypatch.setattr(cache, "CODE_VERSION", cache.CODE_VERSION + 1)
    keys.append(image_key("d", "CT", contract))
    assert len(set(keys)) == len(keys)


def test_a_labels_key_names_its_voxels_its_place_and_its_image():
    label = Volume(volume().voxels.astype(np.uint8), AFFINE)
    corrected = label.voxels.copy()
    corrected[0, 3, 4, 5] += 1
    keys = [
        label_key(label, "a"),
        label_key(label, "b"),
        label_key(Volume(corrected, AFFINE), "a"),
        label_key(Volume(label.voxels.astype(np.int16), AFFINE), "a"),
        label_key(Volume(label.voxels.reshape(1, 41, 37, 29), AFFINE), "a"),
        label_key(Volume(label.voxels, AFFINE + np.eye(4)), "a"),
    ]
    assert len(set(keys)) == len(keys)
    assert keys[0] == label_key(Volume(np.asfortranarray(label.voxels), AFFINE), "a")


def test_a_volume_is_held_under_its_own_name(tmp_path):
    written(tmp_path / "v.b2nd", volume())
    assert holds(tmp_path / "v.b2nd")
    assert not holds(tmp_path / "w.b2nd")
