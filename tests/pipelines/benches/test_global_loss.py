"""The bench of the global loss in small: what it compares, what it prints, what it refuses."""

import pytest
import torch

from medssl.errors import ConfigError
from pipelines.benches.global_loss import GlobalLoss, by_pairs


def test_it_measures_against_both_peers_and_the_goal_comes_last(tmp_path, capsys):
    small = GlobalLoss(volumes=4, parts=2, views=3, dim=8, steps=2, repetitions=2)
    found = small(tmp_path)
    assert [one.name for one in found.measured] == ["time", "loop", "lightly"]
    assert all(one.value > 0 for one in found.measured)
    assert [one.goal and one.goal.limit for one in found.measured] == [None, 100.0, 1.5]
    taken_s = found.details["seconds_a_loss"]
    assert {name: len(each) for name, each in taken_s.items()} == {
        "medssl": 2, "lightly": 2, "loop": 2,
    }  # fmt: skip
    assert "ms a loss" in capsys.readouterr().out


def test_the_loop_is_the_hand_value_where_all_embeddings_are_alike():
    # 3 volumes, 4 parts, 3 views: 27 negatives of other parts
    loss = by_pairs(torch.ones(3, 12, 5), torch.arange(4).repeat(3))
    assert loss.item() == pytest.approx(3.33220, abs=1e-5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"parts": 1}, "at least 2 parts and 2 views"),
        ({"volumes": 3, "parts": 3, "views": 3}, "an even number of embeddings"),
        ({"steps": 0}, "expected counts of at least 1"),
    ],
)
def test_what_can_not_be_compared_is_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        GlobalLoss(**options)
