"""What the stage `plant` may be told."""

from pathlib import Path
from typing import Annotated

from pydantic import Field

from medssl.config.schema import SILENT, Count, Planting, Positive, Scheduler, Tracker, config
from medssl.errors import ConfigError

__all__ = ["Plant"]


@config
class Plant:
    """From cached cases to pieces of a background and of a target, which has something more.

    Args:
        manifest: The cached manifest.
        output: The folder to write; pieces that are there already are kept.
        planting: What is planted.
        share: Of a split's pieces that become targets; of a subject's as near to it as can be.
        per_case: Pieces of each case.
        seed: Of which piece becomes a target, and of where what is planted.
        scheduler: Who works: `threads` or `processes` of this machine, or the address of a Dask
            scheduler, `tcp://host:port`, whose workers see the same files.
        jobs: Cases that are worked on at a time; a Dask scheduler has its own number.
        memory_gib: What they may take together.
        tracker: Where the run is written down.
    """

    manifest: Path
    output: Path
    planting: Planting
    share: Annotated[float, Field(gt=0, lt=1)] = 0.5
    per_case: Count = 1
    seed: int = 0
    scheduler: Scheduler = "threads"
    jobs: Count = 2
    memory_gib: Positive = 4.0
    tracker: Tracker = SILENT

    def __post_init__(self) -> None:
        if self.manifest.parent.resolve() == self.output.resolve():
            msg = (
                f"output: expected another folder than that of the manifest, got {self.output}, "
                "whose manifest would be written over; choose another"
            )
            raise ConfigError(msg)
