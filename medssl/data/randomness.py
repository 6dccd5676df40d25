"""Random numbers that are a function of a key, such as (seed, epoch, case, view).

Neither the number of workers nor where a run was interrupted can be seen in such a draw.
"""

import hashlib

import torch
from jaxtyping import Float
from torch import Tensor


def seed_of(*key: int | str) -> int:
    """Return a seed in [0, 2^63): the same for the same key, unrelated for another."""
    digest = hashlib.blake2b(repr(key).encode(), digest_size=8).digest()
    return int.from_bytes(digest) >> 1


def stream(*key: int | str) -> torch.Generator:
    """Return the generator of a key."""
    return torch.Generator().manual_seed(seed_of(*key))


def integer(generator: torch.Generator, below: int) -> int:
    """Return a whole number in [0, below)."""
    return int(torch.randint(below, (), generator=generator))


def uniform(
    generator: torch.Generator, low: float, high: float, count: int = 1
) -> Float[Tensor, "{count}"]:
    """Return numbers in [low, high), on the CPU; exactly `low` where the two are equal."""
    return low + (high - low) * torch.rand(count, generator=generator)
