"""Kernel density estimates of codes: how far apart they are, and how much two of them share.

The kernel is k(u, v) = exp(-|u - v|^2 / (2 tau)). All is computed from its logarithm: far codes and
half precision leave nothing of the kernel itself.

Source: Wang, Isola, "Understanding Contrastive Representation Learning through Alignment and
Uniformity on the Hypersphere", ICML 2020, arXiv:2005.10242; Louiset, Duchesnay, Grigis, Gori,
"Separating common from salient patterns with Contrastive Representation Learning", ICLR 2024,
arXiv:2402.11928.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor


def alignment(
    a: Float[Tensor, "item dim"],
    b: Float[Tensor, "item dim"],
    *,
    tau: float,
    among: Bool[Tensor, "item"] | None = None,
) -> Float[Tensor, ""]:
    """Return the mean of |a - b|^2 / (2 tau), among some items or all; 0 where there are none."""
    apart = (a - b).square().sum(dim=1) / (2 * tau)
    if among is None:
        return apart.mean()
    return apart.where(among, 0).sum() / among.sum().clamp(min=1)


def log_kernel(
    codes: Float[Tensor, "item dim"],
    others: Float[Tensor, "other dim"],
    *,
    tau: float,
) -> Float[Tensor, "item other"]:
    """Return the logarithm of the kernel; the first others are the items themselves, at exactly 0.

    Codes that are equal are within rounding of 0, and never above it. Others of nan are nobody's:
    they are infinitely far, and no estimate counts them.
    """
    nobody = others.isnan().any(dim=1)
    others = others.nan_to_num()
    norms = codes.square().sum(dim=1)
    other_norms = others.square().sum(dim=1).masked_fill(nobody, torch.inf)
    apart = norms[:, None] + other_norms - 2 * codes @ others.T
    itself = torch.eye(*apart.shape, dtype=torch.bool, device=apart.device)
    return -apart.clamp(min=0).masked_fill(itself, 0) / (2 * tau)


def uniformity(log_k: Float[Tensor, "item other"]) -> Float[Tensor, ""]:
    """Return the logarithm of the kernel's mean over all pairs but those of an item with itself.

    Raises:
        ValueError: If there is no pair.
    """
    items, others = log_k.shape
    if others < 2:
        msg = f"uniformity is of pairs of codes, got {others}"
        raise ValueError(msg)
    itself = torch.eye(items, others, dtype=torch.bool, device=log_k.device)
    pairs = log_k.masked_fill(itself, -torch.inf)
    return pairs.flatten().logsumexp(dim=0) - (items * (_known(log_k) - 1)).log()


def negative_entropy(log_k: Float[Tensor, "item other"]) -> Float[Tensor, ""]:
    """Return the mean of the logarithm of each item's mean kernel, that with itself counted."""
    return log_k.logsumexp(dim=1).mean() - _known(log_k).log()


def shared_information(
    log_k_of_one: Float[Tensor, "item other"], log_k_of_other: Float[Tensor, "item other"]
) -> Float[Tensor, ""]:
    """Return an estimate of what two codes of the same items tell of each other.

    It is 0 where every value of the one comes with every value of the other; as an estimate of
    parts it may be slightly below.
    """
    apart = negative_entropy(log_k_of_one) + negative_entropy(log_k_of_other)
    return negative_entropy(log_k_of_one + log_k_of_other) - apart


def _known(log_k: Float[Tensor, "item other"]) -> Float[Tensor, ""]:
    # What is nobody's is so for every item, and nobody else is infinitely far.
    return log_k[0].isneginf().logical_not().sum(dtype=log_k.dtype)
