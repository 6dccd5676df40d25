"""Which cases does a file hold whose format does not say it?

HDF5 and NumPy archives hold arrays under names that each data set chooses. A layout is told in
the config of a source what they are, where they lie, and which way their axes run; it is then a
reader like any other, of which a file's cases are the frames.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

from medssl.data.readers import FileReader
from medssl.data.volume import Volume


@dataclass(frozen=True, kw_only=True)
class Held:
    """What a file says of one of its cases, but for the voxels.

    Args:
        name: What it is called among the cases of its file, each of another patient; empty where
            the file is of one patient.
        split: What the data set itself uses it for; empty where it does not say.
        classes: What is known of the whole of it.
        has_label: Whether its label is in the file.
    """

    name: str = ""
    split: str = ""
    classes: tuple[str, ...] = ()
    has_label: bool = False


@runtime_checkable
class Layout(FileReader, Protocol):
    """Reads the files of one data set."""

    @property
    def attributes(self) -> dict[str, str]:
        """What is to be said of each case: that its orientation is unknown."""
        ...

    def held(self, path: Path) -> tuple[Held, ...]:
        """Return what the file says of each of its cases, in the order of its frames.

        Raises:
            RefusedError: If it is not laid out so.
        """
        ...

    def read_label(self, path: Path, *, frame: int | None = None) -> Volume:
        """Return the label of a case that has one, on the grid of its image."""
        ...
