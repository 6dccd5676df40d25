import math

import pytest
import torch

from medssl.objectives.cross_entropy import CrossEntropy
from medssl.objectives.squared_error import SquaredError


def test_cross_entropy_is_minus_the_log_of_the_softmax_at_the_target():
    logits = torch.randn(5, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    target = torch.tensor([2, 0, 1, 1, 2])
    terms = [
        -math.log(math.exp(row[t]) / sum(map(math.exp, row)))
        for row, t in zip(logits.tolist(), target.tolist(), strict=True)
    ]
    assert CrossEntropy()(logits, target).total.item() == pytest.approx(sum(terms) / 5)
    assert CrossEntropy()(torch.zeros(4, 4), torch.arange(4)).total.item() == pytest.approx(
        math.log(4)
    )


def test_the_squared_error_is_that_of_all_voxels_or_of_those_that_were_changed():
    original = torch.tensor([[[1.0, 2.0, 3.0]]])
    changed = torch.tensor([[[1.0, 0.0, 0.0]]])
    restored = torch.tensor([[[5.0, 2.5, 4.0]]])
    everywhere = SquaredError()(restored, original, changed)
    assert everywhere.total.item() == pytest.approx((16 + 0.25 + 1) / 3)
    within = SquaredError(changed_only=True)
    assert within(restored, original, changed).total.item() == pytest.approx((0.25 + 1) / 2)
    assert within(restored, original, original).total.item() == 0


@pytest.mark.parametrize("changed_only", [False, True])
def test_the_error_is_computed_in_float32_whatever_surrounds_it(changed_only):
    restored, original, changed = torch.randn(3, 2, 1, 4, 4).bfloat16()
    objective = SquaredError(changed_only=changed_only)
    with torch.autocast("cpu", torch.bfloat16):
        found = objective(restored, original, changed).total
    assert found.dtype == torch.float32
    assert found == objective(restored.float(), original.float(), changed.float()).total
