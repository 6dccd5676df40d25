"""What the stage `plan` may be told, and what it writes for people to edit."""

from collections.abc import Mapping
from dataclasses import field
from pathlib import Path
from typing import Literal

from medssl.config.schema import SILENT, Count, Natural, Positive, Tracker, config
from medssl.data.preprocessing import Preprocessing

__all__ = ["Plan"]


@config
class Plan:
    """From an index to a proposal of preprocessing, crop, batch and channels.

    Args:
        index: The folder that `index` wrote; only its train cases are looked at.
        output: A folder for `plan.yaml`, configs of training, `fingerprint.json` and a figure.
        looks: How many volumes are read, spread evenly over the cases; 0 reads headers only.
        memory_gib: What one training step may take on the device.
        base_channels: Of the finest level; each coarser one has twice as many.
        templates: By stage, the config that the plan is laid over and that is written as
            `<stage>.yaml` for people to edit; its encoder takes `channels`.
        tracker: Where the run is written down.
    """

    index: Path
    output: Path
    looks: Natural = 8
    memory_gib: Positive = 4.0
    base_channels: Count = 16
    templates: Mapping[Literal["pretrain", "finetune"], Path] = field(default_factory=dict)
    tracker: Tracker = SILENT


@config
class Planned:
    """The content of a `plan.yaml`, as `cache` reads it.

    Args:
        preprocessing: How images are prepared.
        spatial_dims: 3 for crops, 2 for slices.
        crop_vox: Of a crop, or of a slice's crop.
        batch_size: Crops a step.
        channels: Of the encoder's levels, fine to coarse.
    """

    preprocessing: Preprocessing
    spatial_dims: Literal[2, 3]
    crop_vox: tuple[Count, ...]
    batch_size: Count
    channels: tuple[Count, ...]
