"""The benches of near duplicates in small: that all find the same, and what they say."""

import json

import numpy as np
import pytest
import torch
import yaml

from medssl.errors import ConfigError, DataError
from medssl.similarity.cosine import Cosine
from medssl.similarity.hamming import Hamming
from pipelines.__main__ import main
from pipelines.benches._near_duplicates import (
    by_blocks,
    by_definition,
    deleting,
    walking_hashes,
    walking_vectors,
)
from pipelines.benches.embedding_selection import EmbeddingSelection, searches
from pipelines.benches.hash_selection import HashSelection, check_equal

SMALL = {
    "hash_selection": {
        "rows": 3000, "list_rows": 500, "curve": [1000, 3000], "repetitions": 2,
        "faster_than_numpy": 1e-9, "faster_than_list": 1e-9, "most_gib": 1e3,
    },
    "embedding_selection": {
        "rows": 2000, "exact_rows": 800, "dim": 16, "repetitions": 2,
        "slower_than_products": 1e9, "most_gib": 1e3,
    },
}  # fmt: skip
LAST = {"hash_selection": "numpy", "embedding_selection": "products"}


def test_each_way_keeps_the_same():
    hashes = walking_hashes(2500)
    exemplar = Hamming(radius=6).exemplars(hashes)
    kept = np.flatnonzero(exemplar == np.arange(2500))
    assert 10 < len(kept) < 1000
    np.testing.assert_array_equal(by_blocks(hashes, 6), exemplar)
    np.testing.assert_array_equal(deleting(hashes, 6)(), kept)
    vectors = walking_vectors(900, 16)
    exemplar = Cosine(least=0.9).exemplars(vectors)
    kept = np.flatnonzero(exemplar == np.arange(900))
    assert 10 < len(kept) < 700
    np.testing.assert_array_equal(by_definition(vectors, 0.9), kept)


def test_a_search_of_faiss_leaves_torch_the_threads_it_had():
    before = torch.get_num_threads()
    searches(walking_vectors(200, 16), np.arange(200), before + 1)
    assert torch.get_num_threads() == before


def test_times_of_unequal_results_are_not_compared():
    with pytest.raises(DataError, match="medssl and numpy do not find the same"):
        check_equal("numpy", np.array([1, 2]), np.array([1, 3]))


@pytest.mark.long
@pytest.mark.parametrize("name", SMALL)
def test_what_was_measured_is_kept_and_the_goal_that_matters_is_last(tmp_path, name, capsys):
    path = tmp_path / "bench.yaml"
    bench = {"name": name, **SMALL[name]}
    path.write_text(yaml.safe_dump({"bench": bench, "output": str(tmp_path / "out")}))
    assert main(["bench", str(path)]) == 0
    assert capsys.readouterr().out.splitlines()[-1].startswith(f"{name}.{LAST[name]}: ")
    record = json.loads((tmp_path / "out" / "bench.json").read_text())
    memory = next(one for one in record["measured"] if one["name"] == "memory")
    assert 0.05 < memory["value"] < 2


def test_counts_below_one_are_refused():
    with pytest.raises(ConfigError, match="expected counts of at least 1"):
        HashSelection(rows=0)
    with pytest.raises(ConfigError, match="an ascending curve"):
        HashSelection(curve=(100, 10))
    with pytest.raises(ConfigError, match="expected counts of at least 1"):
        EmbeddingSelection(dim=0)
