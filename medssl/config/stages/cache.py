"""What the stage `cache` may be told."""

from dataclasses import field
from pathlib import Path
from typing import Annotated

from pydantic import Field

from medssl.config.schema import (
    SILENT,
    Column,
    Count,
    Positive,
    Scheduler,
    Target,
    Tracker,
    config,
)
from medssl.data.preprocessing import Preprocessing
from medssl.errors import ConfigError

__all__ = ["Cache"]


@config
class Matched:
    """Cases of two groups in pairs that hardly differ, as many pairs in a split as there can be.

    Args:
        target: Which cases are of the one group; all others are of the other.
        attribute: A number that both of a pair have about the same of.
        within: By how much they may differ in it.
    """

    target: Target
    attribute: str
    within: Annotated[float, Field(ge=0)]


@config
class Cache:
    """From an index to preprocessed volumes and their manifest.

    Args:
        index: The folder that `index` wrote.
        output: The cache's folder; volumes that are there already are kept.
        preprocessing: How images are prepared; `{}` for the defaults.
        plan: Instead of it, a `plan.yaml` that says so.
        only: Which cases, by columns of the manifest, as `{modality: MR}`; all without it.
        matched: Which of these, if only cases that have a partner in another group.
        scheduler: Who works: `threads` or `processes` of this machine, or the address of a Dask
            scheduler, `tcp://host:port`, whose workers see the same files.
        jobs: Cases that are worked on at a time; a Dask scheduler has its own number.
        memory_gib: What they may take together.
        tracker: Where the run is written down.
    """

    index: Path
    output: Path
    preprocessing: Preprocessing | None = None
    plan: Path | None = None
    only: dict[Column, str] = field(default_factory=dict)
    matched: Matched | None = None
    scheduler: Scheduler = "threads"
    jobs: Count = 2
    memory_gib: Positive = 4.0
    tracker: Tracker = SILENT

    def __post_init__(self) -> None:
        if (self.preprocessing is None) == (self.plan is None):
            given = "neither" if self.plan is None else "both"
            msg = f"preprocessing, plan: expected exactly one of the two, got {given}"
            raise ConfigError(msg)
