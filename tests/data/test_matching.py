"""Matched pairs against SciPy's largest matching of a bipartite graph."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import maximum_bipartite_matching

from medssl.data.matching import matched

SIZES = arrays(np.float64, st.integers(0, 12), elements=st.integers(0, 30).map(float))


@given(SIZES, SIZES, st.sampled_from([0.0, 0.5, 1.0, 3.0]))
def test_there_are_as_many_pairs_as_there_can_be_and_each_is_near_enough(one, other, within):
    rows, partners = matched(one, other, within=within)
    assert len(set(rows.tolist())) == len(set(partners.tolist())) == len(rows)
    assert (np.abs(one[rows] - other[partners]) <= within).all()
    near = np.abs(one[:, None] - other) <= within
    most = 0
    if near.any():
        most = (maximum_bipartite_matching(csr_matrix(near), perm_type="column") >= 0).sum()
    assert len(rows) == most


def test_a_pair_is_named_by_its_rows():
    rows, partners = matched(np.array([9.0, 4.0]), np.array([4.2, 20.0, 8.6]), within=0.5)
    assert list(zip(rows.tolist(), partners.tolist(), strict=True)) == [(1, 0), (0, 2)]


def test_after_matching_the_groups_hardly_differ():
    rng = np.random.default_rng(0)
    benign, malign = rng.normal(6, 2, 300), rng.normal(9, 3, 200)
    rows, partners = matched(benign, malign, within=0.5)
    assert len(rows) > 60
    assert benign[rows].mean() == pytest.approx(malign[partners].mean(), abs=0.5)
