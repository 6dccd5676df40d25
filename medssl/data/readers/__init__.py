"""From a path to a `Volume`. A reader does not guess; `medssl.data.archive` knows a file's kind.

A reader is the one place that knows its format's orientation convention, and hands over
RAS+ millimeters. Voxels stay on the grid and in the axis order of the file.
"""

from pathlib import Path
from typing import Protocol, runtime_checkable

from medssl.data.volume import Volume
from medssl.geometry import Affine


@runtime_checkable
class Reader(Protocol):
    """Reads one format: a file, or a folder of files that make one volume."""

    def read(self, path: Path, *, frame: int | None = None) -> Volume:
        """Return the volume; of a file with several frames, the one asked for."""
        ...


@runtime_checkable
class FileReader(Reader, Protocol):
    """Reads a format whose files are volumes and say by their names that they are."""

    @property
    def suffixes(self) -> tuple[str, ...]:
        """How the names of its files end, in lower case; longer ones first."""
        ...

    def grid(self, path: Path) -> tuple[tuple[int, ...], Affine]:
        """Return shape, frames included, and affine, without reading voxels.

        Raises:
            RefusedError: If it holds no volume, or does not say where it is.
        """
        ...

    def parts(self, path: Path) -> tuple[Path, ...]:
        """Return the other files that the volume consists of.

        Raises:
            RefusedError: If one lies outside of the file's folder.
        """
        ...
