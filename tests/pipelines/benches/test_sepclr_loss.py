"""The bench of SepCLR's loss in small: what it compares, what it prints, what it refuses."""

import pytest

from medssl.errors import ConfigError
from pipelines.benches.sepclr_loss import SepclrLoss


def test_it_measures_against_ntxent(tmp_path, capsys):
    found = SepclrLoss(items=16, dim=4, steps=2, repetitions=2)(tmp_path)
    assert [one.name for one in found.measured] == ["time", "lightly"]
    assert all(one.value > 0 for one in found.measured)
    assert [one.goal and one.goal.limit for one in found.measured] == [None, 2.0]
    assert {name: len(each) for name, each in found.details["seconds_a_loss"].items()} == {
        "medssl": 2, "lightly": 2,
    }  # fmt: skip
    assert "ms a loss" in capsys.readouterr().out


def test_counts_below_what_there_is_to_compare_are_refused():
    with pytest.raises(ConfigError, match=r"4 items, got .* and 2"):
        SepclrLoss(items=2)
