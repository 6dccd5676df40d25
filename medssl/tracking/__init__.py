"""What is written down about a run. Pipelines take a `Tracker`; only this folder knows MLflow.

A run whose block raises, a SIGTERM included, ends as failed. A run that was opened before and
did not end is gone on with where its `run_id` is handed in as `resume`.
"""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable


@dataclass(frozen=True, kw_only=True)
class DatasetRecord:
    """Which data a run used.

    Args:
        name: Of the manifest.
        digest: Of its content.
        context: What it was used for, such as `pretrain`, `train` or `test`.
        profile: Counts of cases, subjects and the like.
    """

    name: str
    digest: str
    context: str
    profile: Mapping[str, int]


@runtime_checkable
class Run(Protocol):
    """One open run."""

    run_id: str
    opened_by: str
    """The command with which a person looks at the run; empty where nothing is kept."""

    def metrics(self, step: int, values: dict[str, float]) -> None:
        """Record numbers of one step, under names such as `train/loss`."""
        ...

    def dataset(self, record: DatasetRecord) -> None:
        """Record which data the run used."""
        ...

    def artifact(self, path: Path, *, folder: str | None = None) -> None:
        """Keep a file or a folder with the run, in a folder of its artifacts."""
        ...


@runtime_checkable
class Tracker(Protocol):
    """Opens runs."""

    def run(
        self, name: str, *, config: str, resume: str | None = None
    ) -> AbstractContextManager[Run]:
        """Open a run and keep its resolved configuration, the YAML text, with it."""
        ...
