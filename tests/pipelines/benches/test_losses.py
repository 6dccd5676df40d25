"""Losses are only timed where they are one."""

import pytest
import torch

from medssl.errors import DataError
from pipelines.benches._losses import check_equal
from pipelines.benches.global_loss import by_pairs
from pipelines.benches.sepclr_loss import by_formula


def of_pairs(z):
    return by_pairs(z, torch.arange(2).repeat(2))


def of_kernels(z):
    return by_formula(z, torch.arange(4) % 2 == 1)


@pytest.mark.parametrize("loss", [of_pairs, of_kernels])
def test_another_loss_or_gradient_is_not_timed(loss):
    z = torch.randn(4, 4, 3, generator=torch.Generator().manual_seed(0)).requires_grad_()
    check_equal(z, loss(z), loss(z))
    tilted = (z[0] - z[0].detach()).sum()  # nothing, but with a gradient
    with pytest.raises(DataError, match=r"gradients are .* apart: nothing is timed"):
        check_equal(z, loss(z) + tilted, loss(z))
    with pytest.raises(DataError, match=r"the loss is .*, by its formula"):
        check_equal(z, loss(z) + 0.01, loss(z))
