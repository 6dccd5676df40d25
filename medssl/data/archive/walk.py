"""The files below a folder, each one of them, in the order of their paths."""

import os
from collections.abc import Iterator
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
        size_bytes: Of its content, as far as it was asked for.
        changed_ns: When its content was last changed, as far as it was asked for.
    """

    path: Path
    name: str
    source: int = 0
    size_bytes: int = 0
    changed_ns: int = 0

    @property
    def stem(self) -> str:
        """The name without the suffix of a format of volumes."""
        return without_suffix(self.name)

    @property
    def reader(self) -> FileReader | None:
        """What reads it, if its name says that it is a volume."""
        return reader_of(self.name)


def walk(root: Path, *, include: str = "*", source: int = 0) -> Iterator[File]:
    """Yield the files below a folder whose names fit a pattern; a file stands for itself.

    They come in the order of their names. Links to folders are listed, not followed: an archive
    that links to itself has an end.

    Raises:
        DataError: If there is nothing there, or not for us to see.
    """
    if root.is_file():
        yield _file(root.resolve(), root.name, source)
        return
    if not root.is_dir():
        msg = f"there is no folder {root} to index; name one that exists"
        raise DataError(msg)
    root = root.resolve()
    try:
        for name in _names(root, ""):
            if fnmatchcase(name, include):
                yield _file(root / name, name, source)
    except OSError as error:
        msg = f"a folder below {root} cannot be listed ({error.strerror}); its owner must allow it"
        raise DataError(msg) from error


def _names(folder: Path, prefix: str) -> Iterator[str]:
    """Yield the names of all that is below a folder, folders aside."""
    with os.scandir(folder) as found:
        # A folder's files stand where its name with a slash does, among its neighbors.
        inner = sorted(
            f"{entry.name}/" if entry.is_dir(follow_symlinks=False) else entry.name
            for entry in found
        )
    for name in inner:
        if name.endswith("/"):
            yield from _names(folder / name, prefix + name)
        else:
            yield prefix + name


def _file(path: Path, name: str, source: int) -> File:
    try:
        found = path.stat()
    except OSError:  # a link that leads nowhere; whoever looks at it says so
        return File(path, name, source)
    return File(path, name, source, found.st_size, found.st_mtime_ns)
