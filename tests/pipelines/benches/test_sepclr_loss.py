"""The bench of SepCLR's loss in small: what it compares, what it prints, what it refuses."""

import pytest
import torch

from medssl.errors import ConfigError, DataError
from pipelines.benches.sepclr_loss import SepclrLoss, by_formula, check_equal


def test_it_measures_against_ntxent(tmp_path, capsys):
    found = SepclrLoss(items=16, dim=4, steps=2, repetitions=2)(tmp_path)
    assert [one.name for one in found.measured] == ["time", "lightly"]
    assert all(one.value > 0 for one in found.measured)
    assert [one.goal and one.goal.limit for one in found.measured] == [None, 2.0]
    assert {name: len(each) for name, each in found.details["seconds_a_loss"].items()} == {
        "medssl": 2, "lightly": 2,
    }  # fmt: skip
    assert "ms a loss" in capsys.readouterr().out


def test_another_loss_or_gradient_is_not_timed():
    codes = torch.randn(4, 8, 3, generator=torch.Generator().manual_seed(0)).requires_grad_()
    is_target = torch.arange(8) % 2 == 1

    def loss():
        return by_formula(codes, is_target)

    check_equal(codes, loss(), loss())
    tilted = codes[0] - codes[0].detach()  # nothing, but with a gradient
    with pytest.raises(DataError, match=r"gradients are .* apart: nothing is timed"):
        check_equal(codes, loss() + tilted.sum(), loss())
    with pytest.raises(DataError, match=r"the loss is .*, by the formula"):
        check_equal(codes, loss() + 0.01, loss())


def test_counts_below_what_there_is_to_compare_are_refused():
    with pytest.raises(ConfigError, match=r"4 items, got .* and 2"):
        SepclrLoss(items=2)
