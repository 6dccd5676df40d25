"""Measures of a representation against NumPy, loops, and cases known by hand."""

import math
from itertools import combinations

import numpy as np
import pytest
import torch

from medssl.evaluation.representation import (
    alignment,
    diagnose,
    feature_deviation,
    rank_me,
    uniformity,
)


def embeddings(rows=11, dim=7, seed=0, offset=0.0):
    z = np.random.default_rng(seed).normal(size=(rows, dim)) + offset
    return z, torch.from_numpy(z)


def papers_rank(z):
    singular = np.linalg.svd(z, compute_uv=False)
    share = singular / np.abs(singular).sum() + 1e-7
    return math.exp(-sum(p * math.log(p) for p in share))


@pytest.mark.parametrize(("rows", "dim"), [(11, 7), (5, 13), (1, 3)])
def test_the_rank_is_the_papers_and_uncentered(rows, dim):
    z, tensor = embeddings(rows, dim, offset=2.0)
    assert rank_me(tensor) == pytest.approx(papers_rank(z))
    if rows > 1:
        assert rank_me(tensor, centered=True) == pytest.approx(papers_rank(z - z.mean(axis=0)))
        assert rank_me(tensor, centered=True) > rank_me(tensor) + 0.3


@pytest.mark.parametrize(
    ("singular", "rank"),
    [([1] * 10 + [0] * 54, 10.0), ([3] + [0] * 15, 1.0), ([4, 2, 1, 1], 2**1.75)],
)
def test_known_spectra_have_their_rank(singular, rank):
    assert rank_me(torch.diag(torch.tensor(singular, dtype=torch.float32))) == pytest.approx(
        rank, rel=2e-4
    )


def test_a_common_mean_hides_the_rank_unless_it_is_taken_off():
    z = torch.from_numpy(np.random.default_rng(0).normal(size=(25600, 64))).float()
    assert rank_me(z) == pytest.approx(63.98, abs=0.02)
    assert rank_me(z + 5) == pytest.approx(24.56, abs=0.3)
    assert rank_me(z + 5, centered=True) == pytest.approx(63.98, abs=0.02)


def test_collapse_shows_in_every_number():
    collapsed = torch.ones(6, 4) * torch.arange(1.0, 7.0)[:, None]
    found = diagnose(collapsed, collapsed)
    assert found["rank_me"] == pytest.approx(1.0, abs=1e-4)
    assert found["deviation"] == pytest.approx(0.0, abs=1e-6)
    assert found["alignment"] == pytest.approx(0.0, abs=1e-6)
    assert found["uniformity"] == pytest.approx(0.0, abs=1e-6)
    assert found["num_rows"] == 6


def test_zeros_have_rank_1_and_no_nan():
    assert rank_me(torch.zeros(3, 5)) == 1.0
    assert rank_me(torch.ones(3, 5), centered=True) == 1.0


def test_the_deviation_is_that_of_normalized_rows_scaled_to_1():
    z, tensor = embeddings()
    directions = z / np.sqrt((z**2).sum(axis=1, keepdims=True))
    deviations = []
    for column in directions.T:
        mean = sum(column) / len(column)
        deviations.append(math.sqrt(sum((x - mean) ** 2 for x in column) / len(column)))
    assert feature_deviation(tensor) == pytest.approx(math.sqrt(7) * sum(deviations) / 7)
    _, many = embeddings(20000, 16)
    assert feature_deviation(many) == pytest.approx(1.0, abs=0.01)


def test_alignment_and_uniformity_are_the_papers():
    (a, tensor_a), (b, tensor_b) = embeddings(), embeddings(seed=1)
    unit_a, unit_b = (z / np.sqrt((z**2).sum(axis=1, keepdims=True)) for z in (a, b))
    distances = [sum((x - y) ** 2) for x, y in zip(unit_a, unit_b, strict=True)]
    assert alignment(tensor_a, tensor_b) == pytest.approx(sum(distances) / 11)
    pairs = [math.exp(-2 * sum((x - y) ** 2)) for x, y in combinations(unit_a, 2)]
    assert uniformity(tensor_a) == pytest.approx(math.log(sum(pairs) / len(pairs)))


def test_opposite_views_and_poles_have_their_numbers():
    z = torch.tensor([[3.0, 0.0], [-0.5, 0.0]])
    assert alignment(z, -7 * z) == pytest.approx(4.0)
    assert uniformity(z) == pytest.approx(-8.0)


def test_one_row_is_no_pair():
    with pytest.raises(ValueError, match="at least 2 rows to have a pair, got 1"):
        uniformity(torch.ones(1, 3))


def test_half_precision_is_widened_first():
    _, tensor = embeddings(offset=1.0)
    half = tensor.to(torch.bfloat16)
    assert diagnose(half, -half) == diagnose(half.float(), -half.float())


def test_no_gradient_is_kept():
    z = torch.randn(4, 3, generator=torch.Generator().manual_seed(0)).requires_grad_()
    assert diagnose(z, z)["rank_me"] > 1
    assert z.grad is None
