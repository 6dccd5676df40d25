"""What the stage `predict` may be told."""

from pathlib import Path
from typing import Annotated

from pydantic import Field

from medssl.config.schema import BATCH_VOX, SILENT, Count, Device, Layout, Tracker, config

__all__ = ["Predict"]


@config
class Predict:
    """From a task model and images of any kind to masks on the images' own grids.

    Args:
        model: What `finetune` wrote.
        source: A folder of DICOM series or files of volumes, or one file; `mirror:` at its head
            is the folder that MEDSSL_MIRROR names.
        layout: What files of arrays (HDF5, NumPy) hold.
        output: The folder to write.
        key: The secret that ids are keyed with; an index's gives the same cases the same ids.
            Without one `<output>/private/key` is made.
        modality: DICOM's code, where the files do not say it; `CT` is windowed.
        window_overlap: Share by which neighboring windows overlap.
        batch_vox: Voxels of all windows at once, which bounds the memory.
        device: Where to compute.
        precision: Of the network, in Fabric's words.
        tracker: Where the run is written down.
    """

    model: Path
    source: str
    layout: Layout | None = None
    output: Path
    key: Path | None = None
    modality: str | None = None
    window_overlap: Annotated[float, Field(ge=0, lt=1)] = 0.5
    batch_vox: Count = BATCH_VOX
    device: Device = "auto"
    precision: str = "32-true"
    tracker: Tracker = SILENT
