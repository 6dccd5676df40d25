"""What the stage `embed` may be told."""

from collections.abc import Mapping
from dataclasses import field
from pathlib import Path
from typing import Literal

from medssl import lookup
from medssl.config.schema import (
    SILENT,
    Count,
    Descriptor,
    Device,
    Positive,
    Scheduler,
    Share,
    Tracker,
    config,
)
from medssl.errors import ConfigError

__all__ = ["Embed"]


@config
class Embed:
    """From a cached manifest to a row of numbers a case or slice.

    Args:
        manifest: The cached manifest.
        output: The folder to write.
        descriptor: What describes.
        unit: What has a row: each `volume`, or each `slice` along the third axis.
        export: Whose network describes; for descriptors that are learned, and for no others.
        network: Which of the export's networks: its `encoder`, or both `codes` of contrastive
            analysis and their projections, side by side.
        foreground_above: Normalized intensity above which a voxel counts as foreground.
        min_foreground: Share of foreground below which a row is marked as blank. What has one
            intensity all over is blank in any case.
        scheduler: Who works, if no network is involved: `threads` or `processes` of this machine,
            or the address of a Dask scheduler, `tcp://host:port`, whose workers see the same files.
        jobs: Cases that are worked on at a time; a Dask scheduler has its own number.
        memory_gib: What they may take together.
        device: Where a network computes.
        cell: The place in a study's matrix; a study fills it in.
        tracker: Where the run is written down.
    """

    manifest: Path
    output: Path
    descriptor: Descriptor
    unit: Literal["volume", "slice"] = "volume"
    export: Path | None = None
    network: Literal["encoder", "codes"] = "encoder"
    foreground_above: float = 0.1
    min_foreground: Share = 0.01
    scheduler: Scheduler = "threads"
    jobs: Count = 2
    memory_gib: Positive = 4.0
    device: Device = "auto"
    cell: Mapping[str, str] = field(default_factory=dict)
    tracker: Tracker = SILENT

    def __post_init__(self) -> None:
        learned = lookup.find(self.descriptor.family, self.descriptor.name).learned
        if learned and self.export is None:
            msg = (
                f"export: required by the descriptor {self.descriptor.name}: "
                "give the folder that `pretrain` or `finetune` wrote"
            )
            raise ConfigError(msg)
        if not learned and self.network != "encoder":
            msg = f"network: the descriptor {self.descriptor.name} has none; leave the key out"
            raise ConfigError(msg)
        if not learned and self.export is not None:
            msg = f"export: the descriptor {self.descriptor.name} takes none; leave the key out"
            raise ConfigError(msg)
