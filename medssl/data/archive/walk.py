"""The files below a folder, each one of them, in the order of their paths.

A folder whose files cannot be listed stands among them in their place: it is refused as a file
would be, and the rest of the archive is taken. No message names a path, which may name a patient.
"""

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
        name: Its path below the source's folder, with forward slashes; a folder's ends in one.
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
    def is_folder(self) -> bool:
        """Whether it is a folder whose files cannot be listed."""
        return self.name.endswith("/")

    @property
    def reader(self) -> FileReader | None:
        """What reads it, if its name says that it is a volume."""
        return reader_of(self.name)


def walk(root: Path, *, include: str = "*", source: int = 0) -> Iterator[File]:
    """Yield the files below a folder whose names fit a pattern; a file stands for itself.

    They come in the order of their names. Links to folders are listed, not followed: an archive
    that links to itself has an end. A folder that cannot be listed is yielded itself, whatever
    the pattern.

    Raises:
        DataError: If there is nothing there, or not for us to see.
    """
    if root.is_file():
        yield _file(root.resolve(), root.name, source)
        return
    if not root.is_dir():
        msg = "expected a folder or a file to index, there is neither; name one that exists"
        raise DataError(msg)
    root = root.resolve()
    try:
        inner = _listed(root)
    except OSError as error:
        msg = (
            f"this folder cannot be listed ({error.strerror}); have its owner allow it, or name "
            "another one"
        )
        raise DataError(msg) from error
    for name in _names(root, inner, ""):
        if name.endswith("/"):
            yield File(root / name, name, source)
        elif fnmatchcase(name, include):
            yield _file(root / name, name, source)


def _names(folder: Path, inner: list[str], prefix: str) -> Iterator[str]:
    """Yield the names of all that is below a folder; of folders only those that keep theirs."""
    for name in inner:
        if not name.endswith("/"):
            yield prefix + name
            continue
        try:
            below = _listed(folder / name)
        except OSError:
            yield prefix + name
        else:
            yield from _names(folder / name, below, prefix + name)


def _listed(folder: Path) -> list[str]:
    """Return what is in a folder; a folder's files stand where its name with a slash does."""
    with os.scandir(folder) as found:
        return sorted(
            f"{entry.name}/" if entry.is_dir(follow_symlinks=False) else entry.name
            for entry in found
        )


def _file(path: Path, name: str, source: int) -> File:
    try:
        found = path.stat()
    except OSError:  # a link that leads nowhere; whoever looks at it says so
        return File(path, name, source)
    return File(path, name, source, found.st_size, found.st_mtime_ns)
