"""What the stage `study` may be told."""

from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from medssl.config.component import Component
from medssl.config.schema import Tracker, config

__all__ = ["Study"]

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
Overlay = dict[str, Any]


@config
class Step:
    """One stage with its config, once or for every cell of a matrix.

    Args:
        stage: Which stage.
        config: Its YAML file; all defaults without.
        set: What is laid over the file; keys may be dotted. A value such as `cache.output` or
            `cache.output/manifest.parquet` is the path of what the step `cache` wrote, of the
            cell that agrees with this one; `evaluate.outputs` is the list of all that agree.
        needs: Steps that must have run although nothing of theirs is read.
        matrix: Axes: to each value of an axis what it lays over the config, if anything.
        exclude: Cells that are left out: those that agree with one of these.
    """

    stage: str
    config: Path | None = None
    set: Overlay = Field(default_factory=dict)
    needs: tuple[Name, ...] = ()
    matrix: dict[Name, dict[str, Overlay | None]] = Field(default_factory=dict)
    exclude: tuple[dict[str, str], ...] = ()


@config
class Study:
    """Steps in order, in one parent run.

    Args:
        name: Of the study and of its experiment.
        output: The folder that outputs lie in, as `<step>/<cell>`.
        steps: By name, in the order in which they run.
        all: Keys that reach every step that knows them.
        until: The last step to run; all without.
        tracker: Where the runs are written down.
    """

    name: Name
    output: Path
    steps: dict[Name, Step]
    all: Overlay = Field(default_factory=dict)
    until: str | None = None
    tracker: Tracker = Component(name="mlflow")
