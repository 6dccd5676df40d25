"""What the stage `select` may be told."""

from pathlib import Path
from typing import Literal

from medssl.config.schema import (
    SILENT,
    Count,
    Natural,
    Positive,
    Scheduler,
    Selector,
    Tracker,
    config,
)

__all__ = ["Select"]

Within = Literal["case", "subject", "all"]


@config
class Range:
    """Cases by an attribute, bounds included.

    Args:
        attribute: Of the manifest, a number.
        low: Its least value.
        high: Its largest.
    """

    attribute: str
    low: float
    high: float


@config
class Target:
    """A cohort that the selection is to serve.

    What is selected from may hold it, and is then kept besides what is selected. Of several
    selectors those come close to it that see what is described as it is; whom it is evaluated on
    is left out by all.

    Args:
        manifest: The cached manifest. Its train cases are the target; subjects of its other splits
            are left out of what is selected from.
        descriptors: What `embed` wrote of it, by the descriptor and weights of one selector's.
        within: Which of its train cases; all without it.
    """

    manifest: Path
    descriptors: Path
    within: Range | None = None


@config
class Then:
    """A further selection among what is left.

    Args:
        selector: What decides.
        descriptors: The folder that `embed` wrote; null for that of the one before.
        within: What a group is; null for that of the one before.
    """

    selector: Selector
    descriptors: Path | None = None
    within: Within | None = None


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
        then: Further selectors, each among what those before it left.
        target: A cohort that selectors are to come close to.
        stratify_by: What quotas are about: a column of the manifest that holds one value a case, or
            else one of its attributes, as `NAME` or `attributes.NAME`.
        order: Which of two rows comes first for selectors to which that matters, such as those that
            keep the first of near duplicates: by `position`, as the manifest lists cases and
            slices lie, or at `random`.
        seed: Of a random order.
        as_many_as: The folder of another selection of the same manifest and unit: as many rows are
            kept in the end as there, those of labeled and of the target's cases counted.
        keep_labeled: Keep each case that has a label, whole. Its rows count among those that a
            selector is told to keep by number or share; only the rest is chosen, and quotas are of
            the rest. To a selector with a limit they come first and stand for others. If not,
            labels play no part, and the closing line says how many were dropped.
        num_examples: Pairs on each half of the contact sheet: the most and the least alike ones.
        scheduler: Who works where groups can be decided on apart: `threads` or `processes` of this
            machine, or the address of a Dask scheduler, `tcp://host:port`.
        jobs: Parts that are worked on at a time; a Dask scheduler has its own number.
        memory_gib: What they may take together.
        tracker: Where the run is written down.
    """

    manifest: Path
    descriptors: Path
    output: Path
    selector: Selector
    within: Within = "subject"
    then: tuple[Then, ...] = ()
    target: Target | None = None
    stratify_by: str | None = None
    order: Literal["position", "random"] = "position"
    seed: int = 0
    as_many_as: Path | None = None
    keep_labeled: bool = True
    num_examples: Natural = 6
    scheduler: Scheduler = "threads"
    jobs: Count = 2
    memory_gib: Positive = 4.0
    tracker: Tracker = SILENT
