"""What the stage `pretrain` may be told."""

from dataclasses import field
from pathlib import Path
from typing import Literal

from medssl.config.schema import (
    SILENT,
    Count,
    Crops,
    Decoder,
    Device,
    Encoder,
    Fabric,
    Method,
    Natural,
    Optim,
    Share,
    Target,
    Tracker,
    Views,
    config,
)
from medssl.errors import ConfigError

__all__ = ["Pretrain"]

NETWORKS = ("encoder", "decoder")
AttributeKind = Literal["continuous", "categorical"]


@config
class Init:
    """Where weights come from.

    Args:
        export: The folder that an earlier run wrote.
        parts: Which of its parts, of `encoder` and `decoder`; their architecture is its card's.
        min_coverage: Smallest share of a part's numbers that the export must fill.
    """

    export: Path
    parts: tuple[str, ...] = ("encoder",)
    min_coverage: Share = 1.0


@config
class Pretrain:
    """Pretrain networks on the train split of a cached manifest.

    Args:
        manifest: Cached cases; their files lie relative to its folder.
        output: The export's folder; the resumable state stands beside it until the end.
        descriptors: What `embed` wrote of the manifest by `configs/embed/dhash_volumes.yaml`: kept
            with the export, so that near copies of what it was trained on can be told.
        crops: Which pieces of the cases a batch is made of.
        views: Operations that make views of them, in order; computed on the device.
        balanced_by: Column of the manifest (`group`, `site`) of each of whose values a batch holds
            as many cases; without one, cases come as they are shuffled.
        target: Which cases are targets, for methods that tell these from a background; a batch
            holds as many of either.
        attributes: What targets are known to have, for objectives that are told: columns of text of
            the manifest, or else attributes of its cases, and what they are.
        plain_views: So many of the views stay as they were cut.
        encoder: The backbone; left out where `init` brings one.
        decoder: What some methods train on top of it; left out where `init` brings one.
        init: An export to start from.
        method: Which features meet which objective.
        optim: How the weights move.
        fabric: Ranks and precision.
        device: Where to compute.
        seed: Of everything that is drawn.
        num_workers: Processes that read crops; 0 reads in this one. Changes no result.
        log_every: Steps from one reading of the losses to the next.
        diagnose_every: Steps from one look at the representation to the next.
        save_every: Steps that a killed run may lose.
        tracker: Where the run is written down.
    """

    manifest: Path
    output: Path
    descriptors: Path | None = None
    crops: Crops
    views: Views
    balanced_by: str | None = None
    target: Target | None = None
    attributes: dict[str, AttributeKind] = field(default_factory=dict)
    plain_views: Natural = 0
    encoder: Encoder | None = None
    decoder: Decoder | None = None
    init: Init | None = None
    method: Method
    optim: Optim
    fabric: Fabric = Fabric()
    device: Device = "auto"
    seed: int = 0
    num_workers: Natural = 0
    log_every: Count = 10
    diagnose_every: Count = 100
    save_every: Count = 100
    tracker: Tracker = SILENT

    def __post_init__(self) -> None:
        brought = self.init.parts if self.init else ()
        if unknown := sorted(set(brought) - set(NETWORKS)):
            msg = f"init.parts: expected some of {list(NETWORKS)}, got {unknown}"
            raise ConfigError(msg)
        for part in brought:
            if getattr(self, part) is not None:
                msg = (
                    f"{part}: init brings it with its architecture; "
                    f"leave {part} out, or take it out of init.parts"
                )
                raise ConfigError(msg)
        if self.attributes and self.target is None:
            msg = "attributes: they are of targets; set target to what tells these (by, equals)"
            raise ConfigError(msg)
        if self.target is not None and self.balanced_by is not None:
            msg = (
                f"balanced_by: with target, batches are balanced by it, not by {self.balanced_by}; "
                "leave balanced_by out"
            )
            raise ConfigError(msg)
        if self.encoder is None and "encoder" not in brought:
            msg = "encoder: required unless init brings one"
            raise ConfigError(msg)
