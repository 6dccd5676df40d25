from itertools import permutations

import numpy as np
import pytest
import torch
from scipy.optimize import linear_sum_assignment
from torch._subclasses.fake_tensor import FakeTensorMode

import medssl.assignment.linear
from medssl.assignment.linear import _by_package, _by_scipy, solve_linear, solver_on

CUDA = torch.device("cuda")


def drawn(graphs, nodes, seed=0):
    return torch.randn(graphs, nodes, nodes, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("nodes", [1, 2, 5])
def test_the_sum_is_the_largest_of_all_permutations(nodes):
    affinity = drawn(8, nodes)
    found = solve_linear(affinity, seed=0)
    for one, permutation in zip(affinity.tolist(), found.tolist(), strict=True):
        sums = {p: sum(one[i][p[i]] for i in range(nodes)) for p in permutations(range(nodes))}
        assert tuple(permutation) == max(sums, key=sums.get)


def test_nothing_is_found_because_of_where_it_stands():
    found = solve_linear(torch.zeros(400, 8, 8), seed=0)
    share = (found == torch.arange(8)).float().mean()
    assert 0.09 < share < 0.16  # an eighth
    assert torch.equal(found, solve_linear(torch.zeros(400, 8, 8), seed=0))
    assert not torch.equal(found, solve_linear(torch.zeros(400, 8, 8), seed=1))


def test_what_is_for_cuda_devices_finds_the_same():
    affinity = drawn(20, 16)
    expected = [linear_sum_assignment(one, maximize=True)[1] for one in affinity.numpy()]
    for solver in (_by_scipy, _by_package):
        np.testing.assert_array_equal(solver(affinity), expected)


def test_cuda_devices_have_a_solver_of_their_own_where_it_is_installed(monkeypatch):
    assert solver_on(CUDA) is _by_package
    assert solver_on(torch.device("cpu")) is _by_scipy
    monkeypatch.setattr(medssl.assignment.linear, "find_spec", lambda name: None)
    assert solver_on(CUDA) is _by_scipy


def test_the_operator_knows_shape_and_device_without_solving():
    with FakeTensorMode(allow_non_fake_inputs=True) as mode:
        found = solve_linear(mode.from_tensor(drawn(3, 6)).to("cuda"), seed=0)
    assert (found.device.type, tuple(found.shape), found.dtype) == ("cuda", (3, 6), torch.int64)


@pytest.mark.gpu
def test_on_a_gpu_nothing_leaves_the_device_and_the_sum_is_as_large():
    affinity = drawn(200, 16)
    found = solve_linear(affinity.cuda(), seed=0)
    expected = solve_linear(affinity, seed=0)
    sums = [affinity.gather(2, one.cpu()[..., None]).sum(dim=(1, 2)) for one in (found, expected)]
    assert found.is_cuda
    torch.testing.assert_close(*sums)
