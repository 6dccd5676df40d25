"""What the stage `cache` may be told."""

from dataclasses import field
from pathlib import Path

from medssl.config.schema import SILENT, Column, Count, Positive, Scheduler, Tracker, config
from medssl.data.preprocessing import Preprocessing
from medssl.errors import ConfigError

__all__ = ["Cache"]


@config
class Cache:
    """From an index to preprocessed volumes and their manifest.

    Args:
        index: The folder that `index` wrote.
        output: The cache's folder; volumes that are there already are kept.
        preprocessing: How images are prepared; `{}` for the defaults.
        plan: Instead of it, a `plan.yaml` that says so.
        only: Which cases, by columns of the manifest, as `{modality: MR}`; all without it.
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
    scheduler: Scheduler = "threads"
    jobs: Count = 2
    memory_gib: Positive = 4.0
    tracker: Tracker = SILENT

    def __post_init__(self) -> None:
        if (self.preprocessing is None) == (self.plan is None):
            given = "neither" if self.plan is None else "both"
            msg = f"preprocessing, plan: expected exactly one of the two, got {given}"
            raise ConfigError(msg)
