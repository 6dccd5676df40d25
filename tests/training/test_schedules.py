"""Schedules against their formulas, and what each keeps, found by its file alone."""

import math

import pytest

from medssl import lookup
from medssl.training.schedules import Schedule
from medssl.training.schedules.halving import Halving
from medssl.training.schedules.poly import Poly
from medssl.training.schedules.warmup_cosine import WarmupCosine

FAMILY = "medssl.training.schedules"


@pytest.mark.parametrize("name", lookup.names(FAMILY))
def test_every_factor_is_between_0_and_1(name):
    schedule = lookup.build(FAMILY, name)
    factors = [schedule(step / 40) for step in range(40)]
    assert isinstance(schedule, Schedule)
    assert all(0 <= factor <= 1 for factor in factors)
    assert max(factors) == pytest.approx(1.0)


@pytest.mark.parametrize("step", [0, 1, 13, 39])
def test_poly_is_what_nnunet_computes(step):
    assert 0.01 * Poly()(step / 40) == pytest.approx(0.01 * (1 - step / 40) ** 0.9)


def test_warmup_cosine_rises_evenly_and_falls_along_half_a_cosine():
    schedule = WarmupCosine(warmup=0.25, final=0.2)
    assert [schedule(p) for p in (0.0, 0.0625, 0.125, 0.25)] == pytest.approx([0, 0.25, 0.5, 1])
    for share in (0.1, 0.5, 0.9):
        by_hand = 0.2 + 0.8 * 0.5 * (1 + math.cos(math.pi * share))
        assert schedule(0.25 + 0.75 * share) == pytest.approx(by_hand)


def test_without_warmup_the_first_step_is_at_the_full_rate():
    assert WarmupCosine(warmup=0.0)(0.0) == 1.0


@pytest.mark.parametrize("wrong", [{"warmup": 1.0}, {"final": 1.5}])
def test_shares_outside_their_range_are_refused(wrong):
    with pytest.raises(ValueError, match=r"got warmup=.* and final="):
        WarmupCosine(**wrong)


def test_a_power_that_does_not_fall_is_refused():
    with pytest.raises(ValueError, match="power must be positive, got 0"):
        Poly(power=0)


def test_halving_takes_equal_parts():
    schedule = Halving(times=3)
    factors = [schedule(step / 8) for step in range(8)]
    assert factors == [1, 1, 0.5, 0.5, 0.25, 0.25, 0.125, 0.125]
    with pytest.raises(ValueError, match="times must be at least 1, got 0"):
        Halving(times=0)
