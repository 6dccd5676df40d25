"""Linear assignment: the nodes of pairs of graphs matched by themselves, exactly, pair by pair.

SciPy solves it on the CPU; what lies on a CUDA device stays there where torch-linear-assignment is
installed (`pip install 'medssl[cuda]'`).
"""

from collections.abc import Callable
from importlib.util import find_spec

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy.optimize import linear_sum_assignment
from torch import Tensor

Solver = Callable[[Float[Tensor, "graph node node"]], Int[Tensor, "graph node"]]
PACKAGE = "torch_linear_assignment"


def solve_linear(
    affinity: Float[Tensor, "graph node node"], *, seed: int
) -> Int[Tensor, "graph node"]:
    """Return the permutation of the largest sum for each pair of graphs, without gradient.

    Args:
        affinity: Of each node of the first graph with each of the second.
        seed: Of the order in which equally good nodes are taken: no permutation, the identity
            least of all, is found because of where it stands.
    """
    found: Tensor = _solve(affinity.detach(), seed)
    return found


@torch.library.custom_op("medssl::linear_assignment", mutates_args=())
def _solve(affinity: Tensor, seed: int) -> Tensor:
    graphs, nodes = affinity.shape[:2]
    rows = np.tile(np.arange(nodes), (graphs, 1))
    drawn = np.random.default_rng(seed).permuted(rows, axis=1)
    order = torch.from_numpy(drawn).to(affinity.device)
    mixed = affinity.gather(2, order[:, None].expand_as(affinity))
    return order.gather(1, solver_on(affinity.device)(mixed))


@_solve.register_fake
def _shape_of_solution(affinity: Tensor, seed: int) -> Tensor:  # the operator's
    return affinity.new_empty(affinity.shape[:2], dtype=torch.int64)


def solver_on(device: torch.device) -> Solver:
    """Return what solves on a device."""
    return _by_package if device.type == "cuda" and find_spec(PACKAGE) else _by_scipy


def _by_scipy(affinity: Tensor) -> Tensor:
    numbers = affinity.cpu().numpy()
    found = np.stack([linear_sum_assignment(one, maximize=True)[1] for one in numbers])
    return torch.from_numpy(found).to(affinity.device)


def _by_package(affinity: Tensor) -> Tensor:
    from torch_linear_assignment import batch_linear_assignment

    found: Tensor = batch_linear_assignment(-affinity)
    return found.long()
