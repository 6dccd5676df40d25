"""Where, in what precision and in which layout a run computes: Lightning Fabric, started."""

import atexit
from collections.abc import Callable
from typing import Any

import torch
from lightning.fabric import Fabric
from torch import nn

from medssl import distributed
from medssl.errors import ConfigError

AVAILABLE: dict[str, Callable[[], bool]] = {
    "auto": lambda: True,
    "cpu": lambda: True,
    "cuda": torch.cuda.is_available,
    "mps": torch.backends.mps.is_available,
}


def start(*, device: str, devices: int, num_nodes: int, strategy: str, precision: str) -> Fabric:
    """Return a Fabric whose ranks are up; all but `device` are Fabric's own arguments.

    Convolutions are told to take algorithms that give the same bits each time: one seed gives
    the same run on the same device.

    Raises:
        ConfigError: If this machine has no such device, or Fabric knows no such arguments.
    """
    if not AVAILABLE[device]():
        msg = (
            f"device is {device!r}, but torch finds none here; "
            "set device=cpu, or see what `medssl doctor` says about this machine"
        )
        raise ConfigError(msg)
    torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = True, False
    chosen: Any = precision
    try:
        fabric = Fabric(
            accelerator=device,
            devices=devices,
            num_nodes=num_nodes,
            strategy=strategy,
            precision=chosen,
        )
    except ValueError as error:
        msg = f"fabric.strategy={strategy!r}, fabric.precision={precision!r}: {error}"
        raise ConfigError(msg) from error
    fabric.launch()
    # Lightning does so for NCCL alone.
    atexit.register(distributed.leave)
    return fabric


def place(module: nn.Module, fabric: Fabric) -> None:
    """Move a module to the rank's device and lay its weights out as is fastest there.

    On a CPU in float32 3-D convolutions run channels last: a step of a narrow U-Net then takes
    about two thirds of the time (torch 2.14). In bfloat16 it would take longer.
    """
    module.to(fabric.device)
    if fabric.device.type == "cpu" and fabric.strategy.precision.precision == "32-true":
        for layer in module.modules():
            if isinstance(layer, nn.Conv3d | nn.ConvTranspose3d):
                layer.to(memory_format=torch.channels_last_3d)
