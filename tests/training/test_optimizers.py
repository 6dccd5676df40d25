"""Each optimizer against its paper's update, on one weight, by hand."""

import pytest
import torch
from torch import nn

from medssl import lookup
from medssl.training.optimizers import OptimizerFactory
from medssl.training.optimizers.adam import Adam
from medssl.training.optimizers.adamw import AdamW
from medssl.training.optimizers.sgd import SGD

FAMILY = "medssl.training.optimizers"
GRADIENTS = (2.0, -0.5, 3.0)


def follow(factory, start=1.5):
    weight = nn.Parameter(torch.tensor([start], dtype=torch.float64))
    optimizer = factory([weight])
    for gradient in GRADIENTS:
        weight.grad = torch.tensor([gradient], dtype=torch.float64)
        optimizer.step()
    return weight.item()


def moments(lr, decay, betas, eps, weight=1.5):
    mean = square = 0.0
    for step, gradient in enumerate(GRADIENTS, start=1):
        weight *= 1 - lr * decay
        mean = betas[0] * mean + (1 - betas[0]) * gradient
        square = betas[1] * square + (1 - betas[1]) * gradient**2
        unbiased = square / (1 - betas[1] ** step)
        weight -= lr * mean / (1 - betas[0] ** step) / (unbiased**0.5 + eps)
    return weight


def test_adamw_is_algorithm_2():
    chosen = {"lr": 0.07, "betas": (0.7, 0.8), "eps": 0.03}
    assert follow(AdamW(weight_decay=0.11, **chosen)) == pytest.approx(
        moments(decay=0.11, **chosen)
    )


def test_adam_is_algorithm_1():
    chosen = {"lr": 0.07, "betas": (0.7, 0.8), "eps": 0.03}
    assert follow(Adam(**chosen)) == pytest.approx(moments(decay=0.0, **chosen))


@pytest.mark.parametrize("nesterov", [False, True])
def test_sgd_is_momentum_with_or_without_looking_ahead(nesterov):
    weight, velocity = 1.5, 0.0
    for gradient in GRADIENTS:
        decayed = gradient + 0.11 * weight
        velocity = 0.7 * velocity + decayed
        weight -= 0.07 * (decayed + 0.7 * velocity if nesterov else velocity)
    chosen = SGD(lr=0.07, momentum=0.7, nesterov=nesterov, weight_decay=0.11)
    assert follow(chosen) == pytest.approx(weight)


@pytest.mark.parametrize("name", lookup.names(FAMILY))
def test_every_member_says_its_rate(name):
    factory = lookup.build(FAMILY, name)
    assert isinstance(factory, OptimizerFactory)
    assert factory([nn.Parameter(torch.zeros(1))]).param_groups[0]["lr"] == factory.lr > 0
