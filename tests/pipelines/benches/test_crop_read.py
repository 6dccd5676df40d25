"""The bench of crops in small: that all contenders cut the same voxels, and what it says."""

import json

import numpy as np
import pytest
import torch
import yaml

from medssl.config.load import load
from medssl.config.stages.bench import Bench
from medssl.data.phantom.bulk import write_bulk
from medssl.data.volume import Volume
from medssl.errors import ConfigError, DataError
from pipelines.__main__ import main
from pipelines.benches.crop_read import Contender, check_equal, ct, mirrored, random_places

SMALL = {
    "name": "crop_read",
    "shape": [40, 36, 20],
    "crop_vox": [16, 12, 8],
    "crops": 2,
    "repetitions": 2,
    "faster_than_persistent": 1e-9,
    "slower_than_memmap": 1e9,
    "share_of_disk": 1e9,
}
CONTENDERS = {"medssl", "kept_open", "first", "memmap", "persistent_dataset", "cache_dataset"}


@pytest.fixture
def config(tmp_path):
    """Write a config of the bench over one series, and return its path."""
    write_bulk(tmp_path / "series", 12, slices=12)

    def write(**keys):
        bench = SMALL | {"source": str(tmp_path / "series")} | keys
        path = tmp_path / "bench.yaml"
        path.write_text(yaml.safe_dump({"bench": bench, "output": str(tmp_path / "out")}))
        return path

    return write


@pytest.mark.slow
def test_each_contender_is_timed_as_often_and_the_peers_versions_are_kept(config, tmp_path, capsys):
    assert main(["bench", str(config())]) == 0
    names = [line.split(":")[0] for line in capsys.readouterr().out.splitlines()[-4:]]
    assert names == [
        "crop_read.cache_dataset", "crop_read.disk", "crop_read.memmap",
        "crop_read.persistent_dataset",
    ]  # fmt: skip
    record = json.loads((tmp_path / "out" / "bench.json").read_text())
    times = record["details"]["ms_a_crop"]
    assert times.keys() == CONTENDERS
    assert all(len(each) == 2 and min(each) > 0 for each in times.values())
    assert record["details"]["peers"].keys() == {"monai", "torch", "numpy"}
    by_name = {one["name"]: one["value"] for one in record["measured"]}
    each = [a / b for a, b in zip(times["medssl"], times["memmap"], strict=True)]
    assert by_name["memmap"] == pytest.approx(np.median(each))
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"bench.json"}


@pytest.mark.parametrize(
    ("keys", "line"),
    [
        ({"crop_vox": [16, 12, 21]}, r"crops within \(40, 36, 20\), got crop_vox \(16, 12, 21\)"),
        ({"crops": 0}, r"at least 1"),
        ({"repetitons": 3}, r"unknown \['repetitons'\]"),
    ],
)
def test_a_mistake_in_the_config_is_named(config, keys, line):
    with pytest.raises(ConfigError, match=line):
        load(Bench, config(**keys))


def test_a_folder_of_two_series_is_refused(tmp_path):
    write_bulk(tmp_path / "in", 8, slices=4)
    with pytest.raises(DataError, match=r"in: expected one series, found 2 cases"):
        ct(tmp_path / "in", tmp_path / "out")


def test_what_is_missing_is_the_mirror_image_and_what_is_too_much_is_cut():
    voxels = np.arange(1 * 3 * 4 * 2, dtype=np.int16).reshape(1, 3, 4, 2)
    found = mirrored(Volume(voxels, np.eye(4)), (5, 3, 4)).voxels
    assert found.shape == (1, 5, 3, 4)
    i_of, k_of = [0, 1, 2, 2, 1], [0, 1, 1, 0]
    for i, j, k in np.ndindex(5, 3, 4):
        assert found[0, i, j, k] == voxels[0, i_of[i], j, k_of[k]]


def test_places_reach_both_ends_of_the_image():
    generator = np.random.default_rng(0)
    drawn = [random_places(generator, (5, 4, 3), (3, 4, 2)) for _ in range(60)]
    assert {place[0].start for place in drawn} == {0, 1, 2}
    assert {place[1].start for place in drawn} == {0}
    assert {(place[2].start, place[2].stop) for place in drawn} == {(0, 2), (1, 3)}


@pytest.mark.parametrize("change", ["moved", "normalized"])
def test_a_contender_with_other_voxels_is_not_timed(change):
    voxels = np.arange(60, dtype=np.int16).reshape(1, 5, 4, 3)
    places = (slice(1, 3), slice(0, 2), slice(1, 2))
    crop = torch.from_numpy(voxels[:, 1:3, 0:2, 1:2].copy())
    check_equal("right", Contender(lambda: (crop, places), ""), voxels)
    wrong = crop + 1 if change == "moved" else crop.float()
    with pytest.raises(DataError, match="wrong: expected the image's int16"):
        check_equal("wrong", Contender(lambda: (wrong, places), ""), voxels)
