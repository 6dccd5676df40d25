"""Projections of a soft assignment to a permutation, along which the quadratic form rises.

Source: Leordeanu, Hebert, Sukthankar, "An Integer Projected Fixed Point Method for Graph Matching
and MAP Inference", NeurIPS 2009, Algorithm 1.
"""

import numpy as np

from medssl.assignment._form import pull_of, score
from medssl.assignment._linear import linear
from medssl.compiled import compiled

ITERATIONS = 50  # of a projection, each of which ends long before
EVEN = 1e-12  # what is better by less is as good


@compiled
def project(
    vertex: np.ndarray,
    edge: np.ndarray,
    first: np.ndarray,
    table: np.ndarray,
    pull: np.ndarray,
    weights: np.ndarray,
) -> np.ndarray:
    """Return the best permutation on the way from soft weights, whose pull is given, to a vertex.

    Each step solves the linear problem at the point where it stands, and goes towards its solution
    as far as the quadratic form rises.
    """
    n = len(vertex)
    best, best_score = np.zeros(n, np.int64), -np.inf
    for _ in range(ITERATIONS):
        toward = linear(vertex + pull)
        reached = score(vertex, edge, first, table, toward)
        if reached > best_score + EVEN:
            best, best_score = toward, reached
        other = pull_of(edge, first, table, toward)
        slope, bend = 0.0, 0.0
        for i in range(n):
            for a in range(n):
                step = (1.0 if toward[i] == a else 0.0) - weights[i, a]
                slope += step * (vertex[i, a] + pull[i, a])
                bend += step * (other[i, a] - pull[i, a])
        if slope <= EVEN:
            break
        share = 1.0 if bend >= 0 else min(1.0, -slope / bend)
        for i in range(n):
            for a in range(n):
                one = 1.0 if toward[i] == a else 0.0
                weights[i, a] += share * (one - weights[i, a])
                pull[i, a] += share * (other[i, a] - pull[i, a])
    return best
