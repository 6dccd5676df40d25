"""What the stage `pseudo_label` may be told."""

from pathlib import Path

from medssl.config.schema import BATCH_VOX, SILENT, Count, Device, Natural, Share, Tracker, config

__all__ = ["PseudoLabel"]


@config
class PseudoLabel:
    """From a task model to labels of the cases of the train split that it has learned nothing of.

    Args:
        model: What `finetune` wrote.
        manifest: The cached manifest that it was trained on, or one with more cases.
        output: The folder to write: a manifest like that one, whose labels of the train split are
            people's where the model learned from these, and the model's for all other cases.
        window_overlap: Share by which neighboring windows overlap.
        batch_vox: Voxels of all windows at once, which bounds the memory.
        num_figures: Cases drawn.
        device: Where to compute.
        precision: Of the network, in Fabric's words.
        tracker: Where the run is written down.
    """

    model: Path
    manifest: Path
    output: Path
    window_overlap: Share = 0.5
    batch_vox: Count = BATCH_VOX
    num_figures: Natural = 3
    device: Device = "auto"
    precision: str = "32-true"
    tracker: Tracker = SILENT
