"""What the schemas of all stages are made of; each stage's own stands in `stages/<stage>.py`."""

import dataclasses
import importlib
import re
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, dataclass_transform

from pydantic import AfterValidator, ConfigDict, Field

from medssl.config.component import Component, Members, member, members

T = TypeVar("T")


@dataclass_transform(frozen_default=True, kw_only_default=True)
def config(cls: type[T]) -> type[T]:
    """Make a frozen, keyword-only dataclass that refuses unknown keys."""
    cls.__pydantic_config__ = ConfigDict(extra="forbid", validate_default=True)  # type: ignore[attr-defined]
    return dataclasses.dataclass(frozen=True, kw_only=True)(cls)


def _scheduler(text: str) -> str:
    if re.fullmatch("threads|processes|tcp://.+", text) is None:
        msg = f"expected threads, processes or tcp://host:port, got {text!r}"
        raise ValueError(msg)
    return text


Decoder = Annotated[Component, *member("medssl.models.decoders")]
Descriptor = Annotated[Component, *member("medssl.descriptors")]
Encoder = Annotated[Component, *member("medssl.models.encoders")]
Layout = Annotated[Component, *member("medssl.data.layouts")]
Method = Annotated[Component, *member("medssl.methods")]
Optimizer = Annotated[Component, *member("medssl.training.optimizers")]
Planting = Annotated[Component, *member("medssl.data.planting")]
Schedule = Annotated[Component, *member("medssl.training.schedules")]
Selector = Annotated[Component, *member("medssl.selection")]
Crops = Annotated[Component, *member("medssl.data.crops")]
Tracker = Annotated[Component, *member("medssl.tracking")]
Views = Annotated[Members, *members("medssl.data.views")]

Positive = Annotated[float, Field(gt=0)]
Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(gt=0)]
Natural = Annotated[int, Field(ge=0)]
Scheduler = Annotated[str, AfterValidator(_scheduler)]
# Of a manifest: texts that cases are grouped by.
Column = Literal["site", "scanner", "body_part", "sequence", "modality", "group", "sex"]
Device = Literal["auto", "cpu", "cuda", "mps"]

SILENT = Component(name="silent")
BATCH_VOX = 2**20  # four blocks of 64 voxels a side, or a thousand small slices


@config
class Fabric:
    """How a run spreads over devices and in what precision it computes, in Fabric's words."""

    devices: Count = 1
    num_nodes: Count = 1
    strategy: str = "auto"
    precision: str = "32-true"


@config
class Optim:
    """How the weights move.

    Args:
        optimizer: Of the weights that are not frozen.
        schedule: Of its rate.
        clip_norm: Longest gradient that is followed as it is.
        num_steps: Of the whole run.
        num_epochs: Of the whole run, instead: as many steps as that takes.
        batch_size: Cases a step, of all ranks together.
        last_batch: Whether cases that do not fill an epoch's last batch sit it out (`drop`) or
            are carried over to the next epoch's first (`carry`).
    """

    optimizer: Optimizer = Component(name="adamw")
    schedule: Schedule = Component(name="constant")
    clip_norm: Positive = 12.0
    num_steps: Count = 100
    num_epochs: Count | None = None
    batch_size: Count = 8
    last_batch: Literal["drop", "carry"] = "drop"


@config
class Target:
    """Which cases are of the target group; all others are of the background.

    Args:
        by: What tells them: a column of text of the manifest, such as `group`, or else one of its
            attributes.
        equals: What the targets have there.
    """

    by: str
    equals: str


def stages() -> list[str]:
    """Return the names of the stages: a file each in `medssl/config/stages`."""
    folder = Path(__file__).parent / "stages"
    return sorted(path.stem for path in folder.glob("*.py") if not path.stem.startswith("_"))


def schema(stage: str) -> type[Any]:
    """Return the one class that a stage's file lists in `__all__`."""
    module = importlib.import_module(f"medssl.config.stages.{stage}")
    (name,) = module.__all__
    found: type[Any] = getattr(module, name)
    return found
