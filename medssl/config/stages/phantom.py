"""What the stage `phantom` can be told."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from medssl.config.schema import SILENT, Count, Natural, Positive, Share, Tracker, config

__all__ = ["Phantom"]


def _ascending(limits: tuple[float, float]) -> tuple[float, float]:
    if limits[0] > limits[1]:
        msg = f"the lower limit comes first, got {list(limits)}"
        raise ValueError(msg)
    return limits


Range = Annotated[tuple[Positive, Positive], AfterValidator(_ascending)]
# Larger displacements would fold the anatomy over itself.
Displacement = Annotated[float, Field(ge=0, le=6)]


@config
class Phantom:
    """A DICOM archive of known truth, made from a real anatomy.

    `two_series` is the share of subjects with a second series, `labels` says whether that one
    has a label as the first one has; the counts are of what is planted besides these series.
    """

    output: Path = Path("outputs/phantom")
    num_subjects: Count = 24
    two_series: Share = 0.25
    spacing_mm: Range = (2.7, 3.3)
    labels: Literal["all", "first"] = "all"
    deformation_mm: Displacement = 3.0
    snr: Range = (20.0, 40.0)
    exact_duplicates: Natural = 2
    near_duplicates: Natural = 4
    truncated: Natural = 1
    missing_slices: Natural = 1
    secondary_captures: Natural = 1
    text_files: Natural = 1
    seed: Natural = 0
    tracker: Tracker = SILENT
