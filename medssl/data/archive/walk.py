"""The files below a folder, each one of them, in the order of their paths."""

import os
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

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
        """The name without NIfTI's suffix."""
        return without_suffix(self.name)

    @property
    def is_nifti(self) -> bool:
        """Whether its name says NIfTI."""
        return self.name.lower().endswith((".nii", ".nii.gz"))


def without_suffix(name: str) -> str:
    """Return a name without `.nii` or `.nii.gz`."""
    for suffix in (".nii.gz", ".nii"):
        if name.lower().endswith(suffix):
            return name[: -len(suffix)]
    return name


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
