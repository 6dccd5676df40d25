import math

import pytest
import torch

from medssl.data.view_plans import plan
from medssl.data.view_work import carry_out
from medssl.data.views.one_movement import EIGHTHS, MIRROR, NOTHING, SCALE, TURN, OneMovement


def matrix(which, *, angle=0.0, scale=1.0, chance=0.9, eighths=0.0, spatial=(8, 8)):
    row = torch.tensor([[which, angle, scale, chance, eighths]])
    return OneMovement().matrix(row, spatial)[0]


def test_each_of_the_five_does_one_thing_whatever_else_was_drawn():
    others = {"angle": 10.0, "scale": 1.04, "chance": 0.2, "eighths": 3.0}
    cos, sin = math.cos(math.radians(10)), math.sin(math.radians(10))
    turned = matrix(TURN, **others)[:2, :2]
    torch.testing.assert_close(turned, torch.tensor([[cos, sin], [-sin, cos]]))
    torch.testing.assert_close(matrix(SCALE, **others)[:2, :2], torch.eye(2) / 1.04)
    torch.testing.assert_close(
        matrix(MIRROR, **others)[:2, :2], torch.diag(torch.tensor([-1, 1.0]))
    )
    torch.testing.assert_close(matrix(MIRROR, **others | {"chance": 0.6}), torch.eye(3))
    torch.testing.assert_close(matrix(NOTHING, **others), torch.eye(3))
    half = math.sqrt(0.5)
    by_135 = torch.tensor([[-half, half], [-half, -half]])
    torch.testing.assert_close(matrix(EIGHTHS, **others)[:2, :2], by_135)


def test_each_of_the_five_is_as_likely():
    draws = [
        OneMovement().draw(torch.Generator().manual_seed(seed), 2)[0].item() for seed in range(1000)
    ]
    counts = torch.bincount(torch.tensor(draws).long(), minlength=5)
    assert counts.shape == (5,)
    assert ((counts > 150) & (counts < 250)).all()


@pytest.mark.parametrize("shape", [(1, 8, 8), (1, 8, 8, 5)])
def test_two_eighths_turn_an_image_as_rot90_does_and_a_mirror_flips_its_first_axis(
    shape, monkeypatch
):
    images = torch.rand(1, *shape, generator=torch.Generator().manual_seed(0))
    drawn = {}
    monkeypatch.setattr(OneMovement, "draw", lambda *_: torch.tensor(drawn["row"]))

    def moved(*row):
        drawn["row"] = list(map(float, row))
        return carry_out(plan([OneMovement()], [0], shape[1:]), images)

    torch.testing.assert_close(
        moved(EIGHTHS, 0, 1, 0.9, 2), images.rot90(1, dims=(2, 3)), rtol=0, atol=1e-5
    )
    torch.testing.assert_close(moved(MIRROR, 0, 1, 0.1, 0), images.flip(2), rtol=0, atol=1e-5)
    assert torch.equal(moved(NOTHING, 9, 1.05, 0.1, 3), images)


def test_a_factor_that_is_none_is_refused():
    with pytest.raises(ValueError, match=r"scale must be \(low, high\)"):
        OneMovement(scale=(0.0, 1.0))
