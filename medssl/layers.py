"""Layers that more than one room builds of: how maps are normalized, how weights begin.

Source of the weights: He et al., "Delving Deep into Rectifiers", ICCV 2015, arXiv:1502.01852,
Eq. 10.
"""

from math import gcd
from typing import Literal

from torch import nn

Norm = Literal["instance", "group"]
AnyNorm = Literal["instance", "group", "batch"]


def norm_layer(norm: AnyNorm, channels: int) -> tuple[str, dict[str, object]]:
    """Return MONAI's name of a normalization and its arguments.

    Of the batch, running statistics move by a hundredth, and 1e-3 is added to a variance: what
    networks had in TensorFlow.
    """
    if norm == "instance":
        return "instance", {"affine": True}
    if norm == "batch":
        return "batch", {"momentum": 0.01, "eps": 1e-3}
    # a group of at least two channels has something to be normalized by in a map of one voxel
    return "group", {"num_groups": max(1, gcd(16, channels) // 2)}


def he_normal(module: nn.Module) -> None:
    """Fill a convolution's weights by a variance of 2 over its inputs, and its biases by 0."""
    if isinstance(module, nn.Conv2d | nn.Conv3d):
        nn.init.kaiming_normal_(module.weight, mode="fan_in", nonlinearity="relu")
        if module.bias is not None:
            nn.init.zeros_(module.bias)
