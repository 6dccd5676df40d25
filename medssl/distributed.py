"""Ranks: the one place that knows that a batch may be spread over processes."""

from typing import Any

import torch
from torch import Tensor, distributed


def rank() -> int:
    """Return the number of this process among those that share a batch."""
    return distributed.get_rank() if _spread() else 0


def leave() -> None:
    """Leave the group of ranks, if there is one: to be called when the process ends.

    Gloo's threads, left to themselves, now and then abort a process that ends (torch 2.14).
    """
    if _spread():
        distributed.destroy_process_group()


def gather(tensor: Tensor, dim: int = 0) -> Tensor:
    """Join the tensors of all ranks, in rank order; gradients flow back to the rank of each row.

    Every rank then computes the loss of the whole batch. The backward pass adds what all
    ranks found, and DDP divides by their number: the gradient is the single process's.
    """
    return _Gather.apply(tensor, dim) if _spread() else tensor


def _spread() -> bool:
    return distributed.is_available() and distributed.is_initialized()


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, tensor: Tensor, dim: int) -> Tensor:
        ctx.dim = dim
        tensor = tensor.contiguous()
        parts = [torch.empty_like(tensor) for _ in range(distributed.get_world_size())]
        distributed.all_gather(parts, tensor)
        return torch.cat(parts, dim)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        summed = gradient.clone(memory_format=torch.contiguous_format)
        distributed.all_reduce(summed)
        return summed.chunk(distributed.get_world_size(), ctx.dim)[distributed.get_rank()], None
