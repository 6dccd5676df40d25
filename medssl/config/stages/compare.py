"""What the stage `compare` may be told."""

from pathlib import Path
from typing import Annotated

from pydantic import Field

from medssl.config.schema import SILENT, Count, Share, Tracker, config

__all__ = ["Compare"]


@config
class Compare:
    """From several evaluations to one table: every arm, and its paired difference to one of them.

    Args:
        evaluations: What `evaluate` wrote, cell by cell.
        output: The folder to write.
        metric: Which column of the cases is compared.
        arm: The axis whose values are compared.
        reference: The arm that differences are to.
        draws: The axes that are resampled beside the subjects, such as draws of labeled cases.
        benchmark: A setting, as `{labels: all}`, in which the reference arm's mean is drawn as a
            line for the others to come near to.
        confidence: Of the intervals.
        num_resamples: Bootstrap resamples, and sign flips.
    """

    evaluations: Annotated[tuple[Path, ...], Field(min_length=1)]
    output: Path
    metric: str = "dice"
    arm: str = "arm"
    reference: str = "scratch"
    draws: tuple[str, ...] = ("draw",)
    benchmark: dict[str, str] | None = None
    confidence: Share = 0.95
    num_resamples: Count = 10_000
    seed: int = 0
    tracker: Tracker = SILENT
