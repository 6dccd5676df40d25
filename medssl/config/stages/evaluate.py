"""What the stage `evaluate` may be told."""

from pathlib import Path
from typing import Literal

from pydantic import Field

from medssl.config.schema import BATCH_VOX, SILENT, Count, Device, Positive, Share, Tracker, config

__all__ = ["Evaluate"]


@config
class Evaluate:
    """From a task model and held-out cases to their scores.

    Args:
        model: What `finetune` wrote.
        manifest: The cached manifest.
        index: What `index` wrote: where reference labels are read, in the source's grid.
        output: The folder to write.
        descriptors: What `embed` wrote of the manifest by `configs/embed/dhash_volumes.yaml`: near
            copies of what the model was trained on are refused then, besides equal ones.
        split: Whose cases are scored.
        tolerance_mm: Distance between surfaces that NSD counts as agreement.
        window_overlap: Share by which neighboring windows overlap.
        batch_vox: Voxels of all windows at once, which bounds the memory.
        confidence: Of the intervals.
        num_resamples: Bootstrap resamples.
        num_figures: Cases drawn, from the worst to the best.
        cell: Where this evaluation stands in a matrix, such as `arm: pretrained`.
    """

    model: Path
    manifest: Path
    index: Path
    output: Path
    descriptors: Path | None = None
    split: Literal["val", "test"] = "test"
    tolerance_mm: Positive = 1.0
    window_overlap: Share = 0.5
    batch_vox: Count = BATCH_VOX
    confidence: Share = 0.95
    num_resamples: Count = 10_000
    num_figures: Count = 3
    cell: dict[str, str] = Field(default_factory=dict)
    device: Device = "auto"
    precision: str = "32-true"
    seed: int = 0
    tracker: Tracker = SILENT
