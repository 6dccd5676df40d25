"""What the stage `select` may be told."""

from pathlib import Path
from typing import Literal

from medssl.config.schema import SILENT, Selector, Tracker, config

__all__ = ["Select"]


@config
class Select:
    """From a manifest and what `embed` wrote to a smaller manifest and an audit.

    Args:
        manifest: The cached manifest.
        descriptors: The folder that `embed` wrote.
        output: The folder to write.
        selector: What decides.
        within: What a group is, for selectors that compare within groups: the slices of a
            `case`, what a `subject` has, or `all` there is.
        keep_labeled: Keep each case that has a label, whole, and let it stand for others. If
            not, labels play no part, and the closing line says how many were dropped.
        tracker: Where the run is written down.
    """

    manifest: Path
    descriptors: Path
    output: Path
    selector: Selector
    within: Literal["case", "subject", "all"] = "subject"
    keep_labeled: bool = True
    tracker: Tracker = SILENT
