"""What the stage `probe` may be told."""

from pathlib import Path
from typing import Annotated

from pydantic import Field

from medssl.config.schema import SILENT, Count, Natural, Scheduler, Share, Tracker, config
from medssl.errors import ConfigError

__all__ = ["Probe"]

Tolerance = Annotated[float, Field(ge=0)]
Name = Annotated[str, Field(pattern=r"^\w[\w-]*$")]  # of a panel, and of metrics


@config
class Within:
    """Which cases take part: those of a range, bounds included.

    Args:
        attribute: Of the manifest.
        low: Its least value.
        high: Its largest.
    """

    attribute: str
    low: float
    high: float

    def __post_init__(self) -> None:
        if not self.low <= self.high:
            msg = f"within: expected low to be at most high, got {self.low} and {self.high}"
            raise ConfigError(msg)


@config
class Matched:
    """Which pairs are compared: such that hardly differ in what must not decide.

    Args:
        attribute: Of the manifest.
        within: By how much a positive and a negative case may differ in it.
    """

    attribute: str
    within: Tolerance


@config
class Target:
    """A property: which cases are positive.

    Args:
        attribute: Of the manifest.
        at_least: The least value of a positive case.
        below: What each positive case is below.
        equals: The text that a positive case has.
        within: Which cases take part; all without it.
        matched: Which pairs are compared; all without it.
    """

    attribute: str
    at_least: float | None = None
    below: float | None = None
    equals: str | None = None
    within: Within | None = None
    matched: Matched | None = None

    def __post_init__(self) -> None:
        rules = {"at_least": self.at_least, "below": self.below, "equals": self.equals}
        given = [name for name, value in rules.items() if value is not None]
        if len(given) != 1:
            msg = f"expected exactly one of {', '.join(rules)}, got {', '.join(given) or 'none'}"
            raise ConfigError(msg)


@config
class Probe:
    """From vectors of frozen encoders to what they tell of properties, arm against arm.

    Args:
        manifest: The cached manifest, with the attributes that `index` was told to keep.
        descriptors: What `embed` wrote, a vector a volume, cell by cell.
        output: The folder to write.
        targets: Properties, by name.
        baselines: Attributes that are probed instead of vectors, each alone; `shape` is how many
            voxels a volume has along each axis.
        split: Whose cases are divided into folds, to fit on and to score. Take one that decided
            nothing, nor was pretrained on; `train` where pretraining saw all images, no label,
            and an arm may gain by having seen the images that it is asked about.
        arm: The axis whose values are compared.
        reference: The arm that differences are to; null for none.
        draw: The axis that is resampled beside the subjects, such as seeds of pretraining.
        num_folds: Parts that a subject is in one of.
        num_repeats: How often subjects are divided anew.
        confidence: Of the intervals.
        num_resamples: Bootstrap resamples.
        seed: Of folds and resamples.
        scheduler: Who fits: `threads` or `processes` of this machine, or the address of a Dask
            scheduler, `tcp://host:port`.
        jobs: Probes that are fitted at a time; a Dask scheduler has its own number.
        tracker: Where the run is written down.
    """

    manifest: Path
    descriptors: Annotated[tuple[Path, ...], Field(min_length=1)]
    output: Path
    targets: Annotated[dict[Name, Target], Field(min_length=1)]
    baselines: tuple[Name, ...] = ()
    split: str = "test"
    arm: str = "arm"
    reference: str | None = None
    draw: str = "draw"
    num_folds: Annotated[int, Field(ge=2)] = 5
    num_repeats: Count = 5
    confidence: Share = 0.95
    num_resamples: Count = 2_000
    seed: Natural = 0
    scheduler: Scheduler = "threads"
    jobs: Count = 2
    tracker: Tracker = SILENT
