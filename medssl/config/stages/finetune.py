"""What the stage `finetune` may be told."""

from pathlib import Path
from typing import Annotated, Literal, get_type_hints

from pydantic import AfterValidator, Field

from medssl import lookup
from medssl.config.component import Component, member
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
    Positive,
    Share,
    Tracker,
    Views,
    config,
)
from medssl.data.views import LabeledViews
from medssl.errors import ConfigError
from medssl.heads import DenseHead

__all__ = ["Finetune"]

Part = Literal["encoder", "decoder"]


def _reads_maps(component: Component) -> Component:
    lookup.check_fit(DenseHead, component.name)
    return component


def _is_supervised(component: Component) -> Component:
    made = lookup.find("medssl.methods", component.name)
    if get_type_hints(made.embed).get("views") is not LabeledViews:
        fitting = [
            name
            for name in lookup.names("medssl.methods")
            if get_type_hints(lookup.find("medssl.methods", name).embed)["views"] is LabeledViews
        ]
        msg = f"{component.name} does not learn from labels; these do: {fitting}"
        raise ConfigError(msg)
    return component


Head = Annotated[Component, *member("medssl.heads"), AfterValidator(_reads_maps)]
Supervised = Annotated[Method, AfterValidator(_is_supervised)]


@config
class Init:
    """Where weights come from.

    Args:
        export: The folder that an earlier run wrote.
        parts: Which parts to take, with the architecture that its card names. A decoder that
            the export does not have is made anew.
        min_coverage: Smallest share of a part's numbers that the export must fill.
    """

    export: Path
    parts: tuple[Part, ...] = ("encoder", "decoder")
    min_coverage: Share = 0.9


@config
class Labels:
    """Which labeled training cases take part.

    Args:
        count: How many; all where it is null.
        draw: Seed of their permutation, of which the first `count` are taken.
    """

    count: Count | None = None
    draw: Natural = 0


@config
class Finetune:
    """Train a segmentation network on the labeled cases of a cached manifest's train split.

    Args:
        manifest: Cached cases; their files lie relative to its folder.
        output: The export's folder; the resumable state stands beside it until the end.
        classes: Names of the labels 1, 2, ...; 0 is the background.
        descriptors: What `embed` wrote of the manifest by `configs/embed/dhash_volumes.yaml`: near
            copies in two splits, or of what `init` was trained on, are refused then, too.
        labels: Which labeled cases take part.
        init: An export to start from.
        from_scratch: Leave the export's weights out and keep its architecture: the twin.
        encoder: The backbone; left out where `init` brings one.
        decoder: From its maps to full resolution; `unet` where neither it nor `init` says else.
        head: Reads logits off the finest map; always made anew.
        crops: Which pieces of the cases a batch is made of.
        views: Operations that augment them, in order; computed on the device.
        mixup: Alpha of the Beta distribution by which crops of a batch are blended, such as 0.1;
            none are where it is null.
        method: Which features of the network meet which objective.
        optim: How the weights move.
        extra_steps_from: A pretraining's export: as many steps are added as fit into the time
            that it trained for, at the speed of this run's own steps.
        window_overlap: Share by which neighboring windows overlap in validation.
        fabric: Ranks and precision.
        device: Where to compute.
        seed: Of everything that is drawn, but which cases.
        num_workers: Processes that read crops; 0 reads in this one. Changes no result.
        log_every: Steps from one reading of the losses to the next.
        validate_every: Steps from one look at the labeled cases of the val split to the next.
        weights: Of which step weights are kept: the last, or the one of the best mean Dice in the
            val split (of equally good ones, the first).
        save_every: Steps that a killed run may lose.
        tracker: Where the run is written down.
    """

    manifest: Path
    output: Path
    classes: Annotated[tuple[str, ...], Field(min_length=1, max_length=255)]
    descriptors: Path | None = None
    labels: Labels = Labels()
    init: Init | None = None
    from_scratch: bool = False
    encoder: Encoder | None = None
    decoder: Decoder | None = None
    head: Head = Component(name="segmentation")
    crops: Crops
    views: Views = ()
    mixup: Positive | None = None
    method: Supervised = Component(
        name="segmentation", params={"objective": {"name": "dice_cross_entropy"}}
    )
    optim: Optim
    extra_steps_from: Path | None = None
    window_overlap: Annotated[float, Field(ge=0, lt=1)] = 0.5
    fabric: Fabric = Fabric()
    device: Device = "auto"
    seed: int = 0
    num_workers: Natural = 0
    log_every: Count = 10
    validate_every: Count = 200
    weights: Literal["last", "best"] = "last"
    save_every: Count = 100
    tracker: Tracker = SILENT

    def __post_init__(self) -> None:
        if len(set(self.classes)) < len(self.classes):
            msg = f"classes: expected a name each, got {list(self.classes)}"
            raise ConfigError(msg)
        brings = self.init is not None and "encoder" in self.init.parts
        if brings and self.encoder is not None:
            msg = (
                "encoder: init brings it with its architecture; "
                "leave encoder out, or take it out of init.parts"
            )
            raise ConfigError(msg)
        if not brings and self.encoder is None:
            msg = "encoder: required unless init brings one"
            raise ConfigError(msg)
        if self.from_scratch and self.init is None:
            msg = "from_scratch: there is no init whose weights to leave out; leave one of both out"
            raise ConfigError(msg)
