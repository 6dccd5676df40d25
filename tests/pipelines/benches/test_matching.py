"""The bench of matching in small: what is compared is the same problem, and what it says."""

import json

import pytest
import torch
import yaml

from medssl.assignment.quadratic import score
from medssl.errors import ConfigError
from medssl.objectives.second_order_matching import SecondOrderMatching
from pipelines.__main__ import main
from pipelines.benches import matching
from pipelines.benches.matching import PEERS, Matching, affinities, matrix_of, noisy_copies


def test_the_peers_matrix_gives_the_score():
    problem = affinities(*noisy_copies(4, 6, 1.0), neighbors=3)
    matrix = matrix_of(problem)
    chosen = torch.stack([torch.randperm(6) for _ in range(4)])
    # their vectors run through the first graph's nodes inside
    x = torch.nn.functional.one_hot(chosen, 6).float().mT.flatten(1)
    quadratic = torch.einsum("gi,gij,gj->g", x, matrix, x)
    torch.testing.assert_close(quadratic, score(*problem, chosen))
    torch.testing.assert_close(matrix, matrix.mT)


@pytest.mark.slow
def test_everybody_is_timed_and_scored(tmp_path, capsys):
    bench = {
        "name": "matching", "graphs": [2, 4], "nodes": 6, "neighbors": 3, "noise": [0.1, 3.0],
        "repetitions": 2, "faster_than_rrwm": 1e-9, "faster_than_ipfp": 1e-9,
        "slower_than_ipfp": 1e9, "most_ms": 1e9, "places": [4],
    }  # fmt: skip
    path = tmp_path / "bench.yaml"
    path.write_text(yaml.safe_dump({"bench": bench, "output": str(tmp_path / "out")}))
    assert main(["bench", str(path)]) == 0
    record = json.loads((tmp_path / "out/bench.json").read_text())
    names = [one["name"] for one in record["measured"]]
    assert len(names) == 2 * 5
    bare, whole = (
        next(one for one in record["measured"] if one["name"] == name)
        for name in ("time_of_2 at 3", "loss_of_2 at 3, 4 places")
    )
    assert bare["goal"] == whole["goal"] == {"side": "at most", "limit": 1e9}
    assert 0 < whole["low"] <= whole["value"] <= whole["high"]
    hard = record["details"]["noise 3, 4 graphs"]
    assert set(hard["gap"]) == set(hard["s"]) == {"medssl", *PEERS}
    assert min(hard["gap"].values()) >= 0
    assert "ms (mean gap to the best known score)" in capsys.readouterr().out


def test_the_whole_objective_is_timed_with_feature_maps_of_so_many_places(monkeypatch):
    seen = []

    class Watched(SecondOrderMatching):
        def forward(self, *given):
            seen.append([tuple(part.shape) for part in given])
            return super().forward(*given)

    monkeypatch.setattr(matching, "SecondOrderMatching", Watched)
    bench = Matching(nodes=6, neighbors=3, repetitions=2)
    assert len(bench._whole(4, 1.0, 9)) == 2
    assert seen == 3 * [
        [(4, 6, 128)] * 2 + [(4, 18, 2)] * 2 + [(4, 6, 9, 64)] * 2 + [(4, 6, 9, 3)] * 2
    ]


@pytest.mark.parametrize(
    "options", [{"graphs": ()}, {"neighbors": 16}, {"repetitions": 0}, {"places": (0,)}]
)
def test_what_can_not_be_compared_is_refused(options):
    with pytest.raises(ConfigError, match="fewer neighbors than nodes"):
        Matching(**options)
