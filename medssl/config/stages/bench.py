"""What the stage `bench` may be told."""

from pathlib import Path
from typing import Annotated

from medssl.config.component import Component, member
from medssl.config.schema import SILENT, Tracker, config

__all__ = ["Bench"]

# A bench runs stages, so it stands beside them; here only its name and arguments are known.
Measurement = Annotated[Component, *member("pipelines.benches")]


@config
class Bench:
    """One measurement against peers or limits.

    Args:
        bench: What is measured, and its goals.
        output: Where the figures go.
        tracker: Where the run is written down.
    """

    bench: Measurement
    output: Path
    tracker: Tracker = SILENT
