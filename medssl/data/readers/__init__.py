"""From a path to a `Volume`. A reader does not guess; `medssl.data.archive` knows a file's kind.

A reader is the one place that knows its format's orientation convention, and hands over
RAS+ millimeters. Voxels stay on the grid and in the axis order of the file.
"""

from pathlib import Path
from typing import Protocol, runtime_checkable

from medssl.data.volume import Volume


@runtime_checkable
class Reader(Protocol):
    """Reads one format: a file, or a folder of files that make one volume."""

    def read(self, path: Path, *, frame: int | None = None) -> Volume:
        """Return the volume; of a file with several frames, the one asked for."""
        ...
