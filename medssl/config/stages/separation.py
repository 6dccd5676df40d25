"""What the stage `separation` may be told."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from medssl.config.schema import (
    SILENT,
    Count,
    Natural,
    Scheduler,
    Share,
    Target,
    Tracker,
    config,
)
from medssl.errors import ConfigError

__all__ = ["Separation"]

Name = Annotated[str, Field(pattern=r"^\w[\w-]*$")]  # of a line of the table, and of metrics


@config
class Attribute:
    """What is asked of the codes.

    Args:
        of: A column of text of the manifest, or else one of its attributes.
        kind: Whether what cases have there is a `class`, a `number`, or a number of which it is
            asked in which of the `thirds` of the fitted cases it lies.
        among: Which cases take part.
    """

    of: str
    kind: Literal["class", "number", "thirds"] = "class"
    among: Literal["targets", "background", "all"] = "targets"


@config
class Separation:
    """From codes of two groups to what either code tells of what, and how far that is off.

    Args:
        manifest: The cached manifest, with the attributes that are asked about.
        descriptors: What `embed` wrote, cell by cell: `codes`, or vectors of one encoder, which
            then stand for both codes.
        output: The folder to write.
        target: Which cases are targets; which of both groups a case is of is asked, too, and
            belongs to the salient code.
        salient: What only the salient code is to tell, by name.
        common: What only the common code is to tell.
        fitted_on: The split whose cases probes are fitted on.
        scored_on: The split whose cases they are scored on.
        arm: The axis whose values are compared.
        draw: The axis that is resampled beside the subjects, such as seeds of pretraining.
        num_permutations: Probes that are fitted on shuffled labels, for comparison.
        confidence: Of the intervals.
        num_resamples: Bootstrap resamples.
        seed: Of folds, permutations and resamples.
        scheduler: Who fits: `threads` or `processes` of this machine, or the address of a Dask
            scheduler, `tcp://host:port`.
        jobs: Probes that are fitted at a time; a Dask scheduler has its own number.
        tracker: Where the run is written down.
    """

    manifest: Path
    descriptors: Annotated[tuple[Path, ...], Field(min_length=1)]
    output: Path
    target: Target
    salient: dict[Name, Attribute] = Field(default_factory=dict)
    common: dict[Name, Attribute] = Field(default_factory=dict)
    fitted_on: str = "train"
    scored_on: str = "test"
    arm: str = "arm"
    draw: str = "draw"
    num_permutations: Natural = 5
    confidence: Share = 0.95
    num_resamples: Count = 2_000
    seed: Natural = 0
    scheduler: Scheduler = "threads"
    jobs: Count = 2
    tracker: Tracker = SILENT

    def __post_init__(self) -> None:
        if both := sorted(self.salient.keys() & self.common.keys()):
            msg = f"salient and common: expected different attributes, both have {both}"
            raise ConfigError(msg)
        if "group" in self.salient.keys() | self.common.keys():
            msg = "group: the group is asked about in any case; call the attribute otherwise"
            raise ConfigError(msg)
        if self.fitted_on == self.scored_on:
            msg = (
                f"fitted_on and scored_on: expected different splits, got {self.scored_on} twice; "
                "a probe is scored on cases that it was not fitted on"
            )
            raise ConfigError(msg)
