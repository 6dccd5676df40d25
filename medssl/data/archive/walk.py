"""The files below a folder, each one of them, in the order of their paths."""

import os
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from medssl.data.formats import reader_of, without_suffix
from medssl.data.readers import FileReader
from medssl.errors import DataError


@dataclass(frozen=True)
class File:
    """A file of a source.

    Args:
        path: Where it is.
        name: Its path below the source's folder, with forward slashes.
        source: Which source it is of, by number.
    """

    path: Path
    name: str
    source: int = 0

    @property
    def stem(self) -> str:
        """The name without the suffix of a format of volumes."""
        return without_suffix(self.name)

    @property
    def reader(self) -> FileReader | None:
        """What reads it, if its name says that it is a volume."""
        return reader_of(self.name)


def walk(root: Path, *, include: str = "*", source: int = 0) -> list[File]:
    """List the files below a folder whose names fit a pattern; a file stands for itself.

    Links to folders are listed, not followed: an archive that links to itself has an end.

    Raises:
        DataError: If there is nothing there.
    """
    if root.is_file():
        return [File(root.resolve(), root.name, source)]
    if not root.is_dir():
        msg = f"there is no folder {root} to index; name one that exists"
        raise DataError(msg)
    root = root.resolve()
    found = []
    for folder, inner, names in os.walk(root):
        links = [name for name in inner if (Path(folder) / name).is_symlink()]
        found += [Path(folder) / name for name in names + links]
    files = [File(path, path.relative_to(root).as_posix(), source) for path in found]
    return sorted(
        (file for file in files if fnmatchcase(file.name, include)), key=lambda file: file.name
    )
