"""Whole data sets of arrays, HDF5 and MedMNIST, from `index` to a model that is evaluated."""

import json
import os
from pathlib import Path

import h5py
import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml

from medssl.data.manifest import read_manifest
from medssl.data.source import Source
from medssl.data.volume import digest
from medssl.errors import DataError
from pipelines.__main__ import main
from pipelines._layouts import source_of

MNIST = {"name": "medmnist", "spacing_mm": [1, 1, 1]}
SPACING = [1.5, 1.5, 8.0]


def index(tmp_path, *sources, status=0, **more):
    """Run the stage on these sources and return the manifest and the verdicts."""
    config = tmp_path / "index.yaml"
    tree = {"sources": list(sources), "output": str(tmp_path / "out"), **more}
    config.write_text(yaml.safe_dump(tree))
    assert main(["index", str(config)]) == status
    if status:
        return None
    verdicts = pq.read_table(tmp_path / "out" / "verdicts.parquet").to_pylist()
    return list(read_manifest(tmp_path / "out" / "manifest.parquet")), verdicts


def heart(seed, slices=12):
    """A short-axis stack as its files hold it, slices first: a ring (1) about a pool (2)."""
    rng = np.random.default_rng(seed)
    _, j, i = np.indices((slices, 20, 18))
    middle = rng.uniform(8, 10, 2)
    distance = np.hypot(j - middle[0], i - middle[1])
    label = np.select([distance < 3, distance < 6], [2, 1], 0).astype(np.uint8)
    image = np.array([0, 100, 200])[label] + rng.normal(0, 10, label.shape)
    return image.astype(np.float32), label


def write_heart(path, seed, *, compression="gzip", **arrays):
    image, label = heart(seed)
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        for key, array in ({"image": image, "label": label} | arrays).items():
            if array is not None:
                file.create_dataset(key, data=array, compression=compression)
    return path


def acdc(root, patients=range(1, 7)):
    """A data set named like ACDC: two frames a patient."""
    for patient in patients:
        for number, frame in enumerate((1, 12)):
            name = f"patient{patient:03d}_frame{frame:02d}.h5"
            write_heart(root / name, 10 * patient + number)
    (source,) = yaml.safe_load(Path("configs/index/acdc_hdf5.yaml").read_text())["sources"]
    return source | {"root": str(root)}


def test_hdf5_in_the_manner_of_acdc_needs_a_config_and_nothing_else(tmp_path):
    source = acdc(tmp_path / "in")
    source["layout"] |= {"orientation": "LPS", "spacing_mm": SPACING}
    cases, verdicts = index(tmp_path, source, split={"test": 2, "val": 1})
    assert [row["code"] for row in verdicts] == ["image"] * 12
    assert [case.attributes for case in cases] == [{"frame": "01"}, {"frame": "12"}] * 6
    assert len({case.subject_id for case in cases}) == 6
    assert all(cases[n].subject_id == cases[n + 1].subject_id for n in range(0, 12, 2))
    assert sorted(case.split for case in cases) == ["test"] * 4 + ["train"] * 6 + ["val"] * 2
    read = source_of(tmp_path / "out")
    for number, case in enumerate(cases):
        image, label = heart(10 * (1 + number // 2) + number % 2)
        volume = read.image(case)
        np.testing.assert_array_equal(volume.voxels[0], image.T)
        np.testing.assert_array_equal(read.label(case).voxels[0], label.T)
        assert digest(volume) == case.digest
        assert (case.shape, case.spacing_mm) == ([18, 20, 12], SPACING)
        np.testing.assert_array_equal(volume.affine, np.diag([-1.5, -1.5, 8, 1]))


@pytest.mark.long
def test_layouts_travel_to_other_processes(tmp_path):
    sources = acdc(tmp_path / "a"), mnist(tmp_path / "b", [0], [1], [2])
    expected, _ = index(tmp_path, *sources)
    (tmp_path / "out/private/looks.sqlite").unlink()
    found, _ = index(tmp_path, *sources, scheduler="processes")
    assert found == expected
    flags = [f"index={tmp_path / 'out'}", f"output={tmp_path / 'cache'}", "scheduler=processes"]
    flags = [word for setting in flags for word in ("--set", setting)]
    assert main(["cache", "configs/cache/native.yaml", *flags]) == 0
    cached = read_manifest(tmp_path / "cache/manifest.parquet")
    assert [case.case_id for case in cached] == [case.case_id for case in expected]


@pytest.mark.slow
def test_it_goes_all_the_way_to_a_model_that_is_evaluated(tmp_path):
    out = tmp_path / "out"
    index(tmp_path, acdc(tmp_path / "in"), split={"test": 1, "val": 1})
    stages = {
        "plan": ["configs/plan/default.yaml", f"index={out}", f"output={tmp_path / 'plan'}"],
        "cache": [
            "configs/cache/native.yaml", f"index={out}", f"output={tmp_path / 'cache'}",
        ],
        "finetune": [
            "configs/finetune/segmentation.yaml", f"manifest={tmp_path / 'cache/manifest.parquet'}",
            f"output={tmp_path / 'model'}", "classes=[ring, pool]", "crops.crop_vox=[16, 16, 8]",
            "encoder.channels=[4, 8]", "optim.num_steps=4", "device=cpu",
            "fabric.precision=32-true",
        ],
        "evaluate": [
            "configs/evaluate/segmentation.yaml", f"model={tmp_path / 'model'}", f"index={out}",
            f"manifest={tmp_path / 'cache/manifest.parquet'}", f"output={tmp_path / 'scores'}",
            "device=cpu",
        ],
    }  # fmt: skip
    for stage, (config, *settings) in stages.items():
        flags = [word for setting in settings for word in ("--set", setting)]
        assert main([stage, config, *flags]) == 0
    cached = read_manifest(tmp_path / "cache/manifest.parquet")
    assert [case.label_uri is None for case in cached] == [case.split == "test" for case in cached]
    scores = pq.read_table(tmp_path / "scores/cases.parquet").to_pylist()
    assert {row["case_id"] for row in scores} == {c.case_id for c in cached.split("test")}


def test_each_file_that_is_not_as_the_config_says_has_a_verdict(tmp_path):
    root = tmp_path / "in"
    source = acdc(root, [1])
    write_heart(root / "patient002_frame01.h5", 1, label=None)
    write_heart(root / "patient003_frame01.h5", 1, image=None)
    write_heart(root / "patient004_frame01.h5", 1, image=heart(1)[0][0])
    write_heart(root / "patient005_frame01.h5", 1, label=heart(1)[1][1:])
    whole = write_heart(root / "patient006_frame01.h5", 1).read_bytes()
    (root / "patient006_frame01.h5").write_bytes(whole[: len(whole) // 2])
    (root / "patient007_frame01.h5").write_text("no HDF5")
    cases, verdicts = index(tmp_path, source)
    assert len(cases) == 2
    assert [row["code"] for row in verdicts] == [
        "image", "image", "image_without_label", "not_an_image", "unsupported",
        "label_grid_differs", "truncated", "not_an_image",
    ]  # fmt: skip
    source["layout"]["unlabeled"] = "keep"
    cases, _ = index(tmp_path, source)
    assert [case.label_uri is not None for case in cases] == [True, True, False]


def test_arrays_without_a_layout_are_refused_and_say_what_is_missing(tmp_path):
    acdc(tmp_path / "in", [1])
    cases, verdicts = index(tmp_path, {"root": str(tmp_path / "in")})
    assert not cases
    assert {(row["code"], "layout does not say" in row["sentence"]) for row in verdicts} == {
        ("unsupported", True)
    }


def test_files_are_looked_at_again_only_if_they_or_what_is_said_of_them_changed(tmp_path):
    source = acdc(tmp_path / "in", [1])
    path = write_heart(tmp_path / "in/patient001_frame01.h5", 1, compression=None)
    first, _ = index(tmp_path, source)
    there = path.stat()
    write_heart(path, 99, compression=None)
    os.utime(path, ns=(there.st_atime_ns, there.st_mtime_ns))
    assert path.stat().st_size == there.st_size
    again, _ = index(tmp_path, source)
    assert again == first  # since size and date are what they were
    source["layout"]["orientation"] = "LPS"
    changed, _ = index(tmp_path, source)
    assert [case.attributes for case in changed] == [{"frame": "01"}, {"frame": "12"}]
    assert changed[0].digest != first[0].digest
    assert changed[1].affine[0] == -first[1].affine[0]
    image, _ = heart(99)
    np.testing.assert_array_equal(source_of(tmp_path / "out").image(changed[0]).voxels[0], image.T)


def test_no_name_leaves_the_private_folder(tmp_path, capfd):
    name = "Zephyrowska"
    root = tmp_path / "in" / name
    source = acdc(root, [1, 2])
    with h5py.File(root / "patient003_frame01.h5", "w") as file:
        file["image"] = np.zeros((2, 2, 2), [(name, "i4")])
    write_heart(root / "patient004_frame01.h5", 4)
    (root / "patient004_frame01.h5").write_bytes(name.encode() * 99)
    index(tmp_path, source | {"root": str(tmp_path / "in")})
    searched = [
        path
        for path in (tmp_path / "out").rglob("*")
        if path.is_file() and not path.is_relative_to(tmp_path / "out/private")
    ]
    assert {path.name for path in searched} == {
        "manifest.parquet", "verdicts.parquet", "layouts.json"
    }  # fmt: skip
    assert not [path for path in searched if name.encode() in path.read_bytes()]
    assert name not in "".join(capfd.readouterr())


def test_layouts_that_are_lost_are_named(tmp_path):
    (case, *_), _ = index(tmp_path, acdc(tmp_path / "in", [1]))
    with pytest.raises(
        DataError, match=r"has no layout for 'layout:0/.*'; index the archive again"
    ):
        Source(tmp_path / "out").image(case)
    (tmp_path / "out/layouts.json").write_text("{")
    with pytest.raises(DataError, match=r"layouts\.json: expected what `medssl index` wrote"):
        source_of(tmp_path / "out")
    write_volumes = tmp_path / "volumes"
    write_volumes.mkdir()
    index(tmp_path, {"root": str(write_volumes)})
    assert not (tmp_path / "out/layouts.json").exists()


def mnist(root, train, val, test):
    """An archive of these images, each with the number of its row as class."""
    root.mkdir(parents=True)
    arrays = {}
    for split, seeds in (("train", train), ("val", val), ("test", test)):
        images = [np.random.default_rng(seed).integers(0, 255, (6, 5, 4)) for seed in seeds]
        arrays[f"{split}_images"] = np.array(images).astype(np.uint8)
        arrays[f"{split}_labels"] = np.arange(len(seeds))[:, None] % 2
    np.savez_compressed(root / "set.npz", **arrays)
    (source,) = yaml.safe_load(Path("configs/index/medmnist.yaml").read_text())["sources"]
    return source | {"root": str(root)}


def test_a_medmnist_archive_is_a_case_a_row_with_its_own_split_and_class(tmp_path):
    cases, (verdict,) = index(tmp_path, mnist(tmp_path / "in", range(5), [5, 6], [7]))
    assert [case.split for case in cases] == ["train"] * 5 + ["val"] * 2 + ["test"]
    named = [case.labels for case in cases]
    assert named[:2] == [[{"class_name": c, "box_mm": None}] for c in ("normal", "hyperplasia")]
    assert len({case.subject_id for case in cases}) == len(cases)
    assert {case.series_id for case in cases} == {None}
    assert {case.attributes["orientation"] for case in cases} == {"unknown"}
    assert verdict["status"] == "accepted"
    assert [verdict["case_id"], *verdict["further_case_ids"]] == [case.case_id for case in cases]
    images = np.load(tmp_path / "in/set.npz")
    read = source_of(tmp_path / "out")
    np.testing.assert_array_equal(read.image(cases[6]).voxels[0], images["val_images"][1].T)
    assert read.label(cases[6]) is None
    assert [digest(read.image(case)) for case in cases] == [case.digest for case in cases]


def test_a_copy_of_a_test_row_is_for_test(tmp_path):
    cases, _ = index(tmp_path, mnist(tmp_path / "in", [0, 1, 7, 6], [5, 6], [7]))
    assert [case.split for case in cases] == [
        "train", "train", "test", "val", "val", "val", "test"
    ]  # fmt: skip


def test_a_split_that_is_asked_for_over_the_archives_own_is_an_error(tmp_path, capsys):
    index(tmp_path, mnist(tmp_path / "in", [0], [1], [2]), split={"test": 0.5}, status=2)
    assert "the archive says itself which cases are for what" in capsys.readouterr().err


def test_a_split_is_of_the_cases_that_have_none_of_their_own(tmp_path):
    sources = mnist(tmp_path / "a", [0], [1], [2]), acdc(tmp_path / "b")
    cases, _ = index(tmp_path, *sources, split={"test": 1})
    assert [case.split for case in cases[:3]] == ["train", "val", "test"]
    assert sorted(case.split for case in cases[3:]) == ["test"] * 2 + ["train"] * 10
    assert json.loads((tmp_path / "out/layouts.json").read_text()).keys() == {"0", "1"}


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (
            {"labels": {"folder": "x"}, "layout": MNIST},
            "labels: a source with a layout has its labels in its own",
        ),
        ({"layout": {"name": "hdf"}}, "no 'hdf' in medssl.data.layouts: expected one of"),
        ({"layout": {"name": "hdf5", "image": "x"}}, "hdf5 needs ['axes']"),
        (
            {"layout": {"name": "hdf5", "image": "x", "axes": "kji"}},
            "hdf5: expected exactly one of spacing_mm and spacing_key",
        ),
        ({"layout": {"name": "medmnist"}}, "medmnist needs ['spacing_mm']"),
        ({"attributes": {"regex": "x"}}, "'x' needs a group in parentheses"),
        ({"attributes": {}}, "attributes: expected exactly one of csv, regex"),
        ({"attributes": {"csv": "x.csv"}}, "attributes.columns: expected the columns"),
    ],
)
def test_a_mistake_in_a_layout_is_named(tmp_path, capsys, change, line):
    index(tmp_path, {"root": str(tmp_path)} | change, status=2)
    error = capsys.readouterr().err
    assert line in error
    assert "Traceback" not in error


@pytest.mark.mirror
@pytest.mark.long
def test_a_real_medmnist_archive_is_read_by_its_config(mirror, tmp_path):
    out = tmp_path / "out"
    assert main(["index", "configs/index/medmnist.yaml", "--set", f"output={out}"]) == 0
    manifest = read_manifest(out / "manifest.parquet")
    assert [len(manifest.split(split)) for split in ("train", "val", "test")] == [1188, 98, 298]
    found = np.load(mirror / "adrenalmnist3d/adrenalmnist3d_64.npz")
    names = ["normal", "hyperplasia"]
    assert [case.labels[0]["class_name"] for case in manifest.split("val")] == [
        names[number] for number in found["val_labels"][:, 0]
    ]
    (case,) = list(manifest.split("test"))[-1:]
    image = source_of(out).image(case)
    np.testing.assert_array_equal(image.voxels[0], found["test_images"][-1].T)
