"""`embed` on a small cache: what it writes is what the descriptor says of each case."""

import json
import shutil
import time

import imagehash
import numpy as np
import pyarrow as pa
import pytest
import torch
from PIL import Image

from medssl.data.cache import open_cached, write_cached
from medssl.data.manifest import Case, Manifest, write_manifest
from medssl.data.preprocessing import Intensity
from medssl.data.volume import Volume
from medssl.descriptors.encoder import Encoder
from medssl.models.encoders.small_conv import SmallConv
from medssl.models.export import write_export
from pipelines.__main__ import main
from pipelines._parts import values_of, which

SHAPES = {"a": (20, 24, 40), "b": (16, 18, 9), "c": (20, 24, 5)}


def smooth(shape, seed):
    """Intensities from 0 to 1000 of an image that is black in its first slice."""
    coarse = torch.from_numpy(np.random.default_rng(seed).uniform(0, 1000, size=(1, 1, 5, 5, 5)))
    voxels = torch.nn.functional.interpolate(coarse, size=shape, mode="trilinear")[0]
    voxels[..., 0] = 0
    return voxels.numpy().astype(np.int16)


def cache(root, **slices):
    """A cache of three cases, in which `c` is a test case."""
    cases = []
    for number, (name, shape) in enumerate(SHAPES.items()):
        volume = Volume(smooth(shape, number), np.eye(4))
        write_cached(
            root / "volumes" / f"{name}.b2nd",
            volume,
            intensity=Intensity(0.0, 1e-3, -10.0, 10.0),
            source_affine=np.eye(4),
            source_shape=shape,
            key=name,
        )
        cases.append(
            Case(
                case_id=name,
                digest=name,
                subject_id=f"s{number}",
                image_uri=f"volumes/{name}.b2nd",
                shape=list(shape),
                spacing_mm=[1.0, 1.0, 1.0],
                split="test" if name == "c" else "train",
                slices=slices.get(name),
            )
        )
    write_manifest(Manifest.of(cases), root / "manifest.parquet")


def embed(root, config="dhash", **keys):
    keys = {"manifest": root / "manifest.parquet", "output": root / "out", "device": "cpu"} | keys
    flags = [word for key, value in keys.items() for word in ("--set", f"{key}={value}")]
    return main(["embed", f"configs/embed/{config}.yaml", *flags])


def written(root):
    out = root / "out"
    assert [path.name for path in out.iterdir() if path.name.startswith(".")] == []
    card = json.loads((out / "card.json").read_text())
    columns = which(out).select(["case_id", "slice", "blank"]).to_pydict()
    return np.concatenate(list(values_of(out, card["dim"]))), columns, card


def test_each_slice_has_the_hash_of_its_picture(tmp_path):
    cache(tmp_path)
    assert embed(tmp_path) == 0
    values, rows, card = written(tmp_path)
    places = [(name, k) for name, shape in SHAPES.items() for k in range(shape[2])]
    assert list(zip(rows["case_id"], rows["slice"], strict=True)) == places
    for (name, k), value in zip(places, values, strict=True):
        voxels = open_cached(tmp_path / "volumes" / f"{name}.b2nd").read()[0, :, :, k]
        picture = Image.fromarray(np.rint(voxels.clip(0, 1) * 255).astype(np.uint8).T)
        assert value.tolist() == [int(str(imagehash.dhash(picture)), 16)]
    assert rows["blank"] == [k == 0 for _, k in places]
    assert (card["kind"], card["unit"], card["num_rows"], card["dim"]) == ("hash", "slice", 54, 1)
    assert card["descriptor"] == {"name": "dhash", "axes": "first"}


def test_only_slices_that_take_part_are_described(tmp_path):
    cache(tmp_path)
    embed(tmp_path)
    whole, rows, _ = written(tmp_path)
    cache(tmp_path, a=[35, 2, 33], c=[4])
    assert embed(tmp_path) == 0
    values, fewer, _ = written(tmp_path)
    wanted = [("a", 2), ("a", 33), ("a", 35), *(("b", k) for k in range(9)), ("c", 4)]
    assert list(zip(fewer["case_id"], fewer["slice"], strict=True)) == wanted
    known = dict(zip(zip(rows["case_id"], rows["slice"], strict=True), whole, strict=True))
    np.testing.assert_array_equal(values, [known[place] for place in wanted])


def test_volumes_have_a_row_each(tmp_path):
    cache(tmp_path)
    assert embed(tmp_path, "dhash_volumes") == 0
    values, rows, card = written(tmp_path)
    assert (values.shape, values.dtype) == ((3, 24), np.uint64)
    assert rows == {"case_id": ["a", "b", "c"], "slice": [None] * 3, "blank": [False] * 3}
    assert card["unit"] == "volume"
    assert len(np.unique(values, axis=0)) == 3


def test_what_shows_too_little_foreground_is_blank(tmp_path):
    cache(tmp_path)
    embed(tmp_path, foreground_above=2.0)
    assert all(written(tmp_path)[1]["blank"])
    embed(tmp_path, foreground_above=2.0, min_foreground=0.0)
    # Black slices have one intensity and stay blank.
    assert sum(written(tmp_path)[1]["blank"]) == 3
    embed(tmp_path, "dhash_volumes", foreground_above=2.0)
    assert written(tmp_path)[1]["blank"] == [True] * 3


def test_neither_jobs_nor_memory_changes_a_byte(tmp_path):
    cache(tmp_path)
    embed(tmp_path, jobs=1)
    first = (tmp_path / "out/rows/part-00000.parquet").read_bytes()
    shutil.rmtree(tmp_path / "out")
    embed(tmp_path, jobs=3, memory_gib=1e-6)
    assert (tmp_path / "out/rows/part-00000.parquet").read_bytes() == first


@pytest.mark.long
def test_processes_write_the_same(tmp_path):
    cache(tmp_path)
    embed(tmp_path)
    first = (tmp_path / "out/rows/part-00000.parquet").read_bytes()
    shutil.rmtree(tmp_path / "out")
    assert embed(tmp_path, scheduler="processes") == 0
    assert (tmp_path / "out/rows/part-00000.parquet").read_bytes() == first


def test_a_run_goes_on_after_the_last_file_that_is_whole(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("pipelines._parts.PART_ROWS", 5)
    cache(tmp_path)
    path = tmp_path / "volumes" / "b.b2nd"
    whole = path.read_bytes()
    path.write_bytes(whole[:200])
    assert embed(tmp_path, jobs=1) == 2
    assert [part.name for part in (tmp_path / "out/rows").iterdir()] == ["part-00000.parquet"]
    path.write_bytes(whole)
    before = (tmp_path / "out/rows/part-00000.parquet").stat().st_mtime_ns
    assert embed(tmp_path) == 0
    assert "1 of 3 files found" in capsys.readouterr().out
    assert (tmp_path / "out/rows/part-00000.parquet").stat().st_mtime_ns == before
    values, rows, _ = written(tmp_path)
    monkeypatch.undo()
    embed(tmp_path, output=tmp_path / "at_once" / "out")
    np.testing.assert_array_equal(values, written(tmp_path / "at_once")[0])
    assert rows == written(tmp_path / "at_once")[1]


def test_what_other_settings_left_is_made_anew(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("pipelines._parts.PART_ROWS", 5)
    cache(tmp_path)
    embed(tmp_path)
    assert embed(tmp_path, **{"descriptor.axes": "all"}) == 0
    assert "files found" not in capsys.readouterr().out
    assert written(tmp_path)[0].shape == (54, 2)
    # Volumes fill one file; those of slices are gone.
    embed(tmp_path, "dhash_volumes")
    assert [part.name for part in (tmp_path / "out/rows").iterdir()] == ["part-00000.parquet"]


@pytest.mark.parametrize(
    ("config", "kind", "dim"),
    [("thumbnails", "image", 128**2), ("content", "content", 2), ("dhash_both_axes", "hash", 2)],
)
def test_slices_are_described_in_other_ways(tmp_path, config, kind, dim):
    cache(tmp_path)
    assert embed(tmp_path, config) == 0
    values, _, card = written(tmp_path)
    assert (card["kind"], values.shape) == (kind, (54, dim))


def test_numbers_with_a_meaning_have_names(tmp_path):
    cache(tmp_path)
    assert embed(tmp_path, "radiometry") == 0
    values, _, card = written(tmp_path)
    assert card["columns"][:2] == ["mean", "deviation"]
    voxels = open_cached(tmp_path / "volumes" / "a.b2nd").read()
    np.testing.assert_allclose(values[0, :2], [voxels.mean(), voxels.std()], rtol=1e-5)


def export(root, spatial_dims, in_channels=1, **more):
    torch.manual_seed(0)
    shape = {"in_channels": in_channels, "width": 4, "spatial_dims": spatial_dims}
    encoder = SmallConv(**shape)
    card = {"encoder": {"name": "small_conv", **shape}, **more}
    subjects = pa.table({"subject_id": ["x"], "digest": ["x"]})
    write_export(root / "export", {"encoder": encoder}, card, subjects=subjects)
    return encoder.eval()


@pytest.mark.slow
def test_an_exports_encoder_describes_volumes(tmp_path):
    cache(tmp_path)
    network = export(tmp_path, 3)
    assert embed(tmp_path, "encoder", export=tmp_path / "export") == 0
    values, _, card = written(tmp_path)
    voxels = open_cached(tmp_path / "volumes" / "b.b2nd").read()
    extended = np.pad(voxels, [(0, 0), (0, 0), (0, 6), (0, 7)], mode="edge")
    with torch.no_grad():
        expected = network(torch.from_numpy(extended)[None])[-1].mean(dim=(2, 3, 4))[0]
    np.testing.assert_allclose(values[1], expected.numpy(), rtol=1e-4, atol=1e-6)
    assert (card["kind"], card["dim"], len(card["weights"])) == ("vector", 16, 64)


def test_a_network_has_one_batch_at_a_time_however_many_cases_are_read(tmp_path, monkeypatch):
    cache(tmp_path)
    export(tmp_path, 2)
    inside, most = [], []
    forward = SmallConv.forward

    def watched(self, image):
        inside.append(image)
        most.append(len(inside))
        time.sleep(0.01)
        maps = forward(self, image)
        inside.pop()
        return maps

    monkeypatch.setattr(SmallConv, "forward", watched)
    rows = []
    for jobs in (1, 3):
        assert embed(tmp_path, "encoder", export=tmp_path / "export", unit="slice", jobs=jobs) == 0
        rows.append((tmp_path / "out/rows/part-00000.parquet").read_bytes())
        shutil.rmtree(tmp_path / "out")
    assert rows[0] == rows[1]
    assert set(most) == {1}


def test_a_2d_encoder_describes_slices(tmp_path):
    cache(tmp_path)
    export(tmp_path, 2)
    assert embed(tmp_path, "encoder", export=tmp_path / "export", unit="slice") == 0
    assert written(tmp_path)[0].shape == (54, 16)


def test_an_encoder_of_stacks_describes_each_slice_between_its_neighbors(tmp_path):
    cache(tmp_path, a=[0, 30, 31, 32, 39])  # on both sides of where a slab ends
    network = export(tmp_path, 2, in_channels=5, thickness=5)
    crop = {"descriptor.crop_vox": [8, 8]}
    assert embed(tmp_path, "encoder", export=tmp_path / "export", unit="slice", **crop) == 0
    values, rows, _ = written(tmp_path)
    assert rows["blank"][:5] == [True, False, False, False, False]
    described = Encoder(network, crop_vox=(8, 8))
    for case, k, value in zip(rows["case_id"], rows["slice"], values, strict=True):
        voxels = open_cached(tmp_path / "volumes" / f"{case}.b2nd").read()[0]
        padded = np.pad(voxels, [(0, 0), (0, 0), (2, 2)])
        stack = np.stack([padded[:, :, k + offset] for offset in range(5)])
        expected = described.slices(np.ascontiguousarray(stack[..., None]))[0]
        np.testing.assert_allclose(value, expected, rtol=1e-4, atol=1e-6)
    by_slice = values[[case == "b" for case in rows["case_id"]]]
    assert embed(tmp_path, "encoder", export=tmp_path / "export", unit="volume", **crop) == 0
    volumes = written(tmp_path)[0]
    np.testing.assert_allclose(volumes[1], by_slice.mean(axis=0), rtol=1e-4, atol=1e-6)


def test_an_encoder_of_channels_that_its_card_does_not_explain_is_refused(tmp_path, capsys):
    cache(tmp_path)
    export(tmp_path, 2, in_channels=3)
    assert embed(tmp_path, "encoder", export=tmp_path / "export", unit="slice") == 2
    said = capsys.readouterr().err
    assert "its encoder takes 3 channels, its card says stacks of 1 slices; train it again" in said


@pytest.mark.parametrize(
    ("config", "keys", "line"),
    [
        ("encoder", {"export": "null"}, "export: required by the descriptor encoder"),
        ("dhash", {"export": "somewhere"}, "export: the descriptor dhash takes none"),
        ("encoder", {"export": "nowhere"}, "nowhere is no export"),
        ("dhash", {"manifest": "nowhere.parquet"}, "nowhere.parquet"),
        ("dhash", {"unit": "patch"}, "unit: "),
    ],
)
def test_a_mistake_is_one_line(tmp_path, capsys, config, keys, line):
    cache(tmp_path)
    assert embed(tmp_path, config, **keys) == 2
    assert line in capsys.readouterr().err
    assert not (tmp_path / "out" / "card.json").exists()


def test_a_3d_encoder_is_refused_for_slices(tmp_path, capsys):
    cache(tmp_path)
    export(tmp_path, 3)
    assert embed(tmp_path, "encoder", export=tmp_path / "export", unit="slice") == 2
    assert "set unit to volume" in capsys.readouterr().err


def test_a_manifest_without_cases_is_refused(tmp_path, capsys):
    write_manifest(Manifest.of([]), tmp_path / "manifest.parquet")
    assert embed(tmp_path) == 2
    assert "lists no case" in capsys.readouterr().err


def test_a_volume_of_another_shape_than_listed_is_refused(tmp_path, capsys):
    cache(tmp_path)
    write_cached(
        tmp_path / "volumes" / "a.b2nd",
        Volume(smooth((16, 18, 9), 0), np.eye(4)),
        intensity=Intensity(0.0, 1e-3, -10.0, 10.0),
        source_affine=np.eye(4),
        source_shape=(16, 18, 9),
        key="a",
    )
    assert embed(tmp_path) == 2
    assert "case a has the shape [20, 24, 40], its volume [16, 18, 9]" in capsys.readouterr().err


def test_a_damaged_volume_leaves_no_finished_descriptors(tmp_path, capsys):
    cache(tmp_path)
    assert embed(tmp_path) == 0
    path = tmp_path / "volumes" / "b.b2nd"
    path.write_bytes(path.read_bytes()[:200])
    assert embed(tmp_path, min_foreground=0.02) == 2
    assert "b.b2nd" in capsys.readouterr().err
    assert not (tmp_path / "out" / "card.json").exists()
