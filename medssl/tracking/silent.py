"""The tracker that records nothing: for tests, dry runs, and ranks other than the first.

Source: none.
"""

from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from medssl.tracking import DatasetRecord

__all__ = ["Silent"]


class Silent:
    """Does nothing, in the shape of a `Tracker`."""

    def run(
        self, name: str, *, config: str, resume: str | None = None
    ) -> AbstractContextManager["_Run"]:
        """Open nothing."""
        return nullcontext(_Run())


class _Run:
    run_id = "silent"
    opened_by = ""

    def metrics(self, step: int, values: dict[str, float]) -> None:
        """Drop the numbers."""

    def dataset(self, record: DatasetRecord) -> None:
        """Drop the record."""

    def artifact(self, path: Path, *, folder: str | None = None) -> None:
        """Drop the file."""
