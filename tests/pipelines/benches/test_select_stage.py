"""The bench of the stage `select` in small: what it is run over, and what it says."""

import json

import numpy as np
import pytest
import yaml

from medssl.data.cache import open_cached
from medssl.data.manifest import read_manifest
from medssl.errors import ConfigError
from pipelines import _parts
from pipelines.__main__ import main
from pipelines._descriptors import read_descriptors
from pipelines.benches._near_duplicates import SLICES, walking_hashes
from pipelines.benches.select_stage import SelectStage, write_cohort


def test_it_is_run_over_volumes_of_hashes_in_several_files_with_some_blank(tmp_path, monkeypatch):
    monkeypatch.setattr(_parts, "PART_ROWS", 2 * SLICES)
    write_cohort(tmp_path, 5)
    assert len(_parts.part_files(tmp_path / "hashes")) == 3
    manifest = read_manifest(tmp_path / "cache" / "manifest.parquet")
    rows = read_descriptors(tmp_path / "hashes", manifest, split="train")
    np.testing.assert_array_equal(rows.values, walking_hashes(5 * SLICES))
    assert np.flatnonzero(rows.blank[:SLICES]).tolist() == [0, SLICES - 1]
    assert rows.blank.sum() == 10
    for case in manifest:
        assert list(open_cached(tmp_path / "cache" / case.image_uri).shape) == case.shape


@pytest.mark.long
def test_time_and_memory_are_said_for_each_scope(tmp_path, capsys):
    path = tmp_path / "bench.yaml"
    bench = {"name": "select_stage", "rows": 5 * SLICES}
    path.write_text(yaml.safe_dump({"bench": bench, "output": str(tmp_path / "out")}))
    assert main(["bench", str(path)]) == 0
    assert capsys.readouterr().out.splitlines()[-1].startswith("select_stage.memory_all: ")
    record = json.loads((tmp_path / "out" / "bench.json").read_text())
    measured = {one["name"]: one["value"] for one in record["measured"]}
    assert measured.keys() == {"time_case", "time_all", "memory_case", "memory_all"}
    assert 0.05 < measured["memory_all"] < 2
    runs = record["details"]["runs"]
    # Volumes are alike, too: among all there is less to keep.
    assert 5 <= runs["all"]["kept"] <= runs["case"]["kept"] < 500
    assert runs["case"]["rows"] == runs["all"]["rows"] == 5 * SLICES
    assert not (tmp_path / "out" / "cohort").exists()


@pytest.mark.parametrize("keys", [{"rows": SLICES - 1}, {"cores": 0}, {"within": ()}])
def test_what_cannot_be_measured_is_refused(keys):
    with pytest.raises(ConfigError, match=f"expected at least {SLICES} rows, a core"):
        SelectStage(**keys)
