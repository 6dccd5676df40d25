"""Unpack: what comes out of an archive or a mirror stays below its folder and arrives whole."""

import hashlib
import shutil
import stat
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

from medssl.data.cards import is_inside
from medssl.errors import DataError


def unpack(archive: Path, folder: Path, *, kind: str) -> list[str]:
    """Unpack a `tar` or `zip`, move its files to the folder, and return their relative paths.

    Raises:
        DataError: If the archive is broken, or holds a path or link that leads out of it; then
            nothing of it appears in the folder.
    """
    work = folder / f".{archive.name}.unpacked"
    if work.exists():
        shutil.rmtree(work)
    work.mkdir(parents=True)
    try:
        if kind == "tar":
            with tarfile.open(archive) as tar:
                tar.extractall(work, filter="data")
        else:
            _unzip(archive, work)
        paths = listed(work)
        for path in paths:
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (work / path).replace(folder / path)
    except (tarfile.TarError, zipfile.BadZipFile, EOFError) as error:
        msg = f"{archive}: expected a {kind} archive of files that stay inside it, got: {error}"
        raise DataError(msg) from error
    finally:
        shutil.rmtree(work)
    return paths


def listed(root: Path) -> list[str]:
    """Return the relative paths of all files below a folder, sorted.

    Raises:
        DataError: If one is a link that leads out of the folder, or is no plain file.
    """
    real = root.resolve()
    found = []
    for path in sorted(root.rglob("*")):
        if path.is_dir() and not path.is_symlink():
            continue
        inside = path.resolve().is_relative_to(real)
        if not inside or not path.is_file():
            msg = f"{path}: expected a file, or a link to one, inside {root}; remove it there"
            raise DataError(msg)
        found.append(path.relative_to(root).as_posix())
    return found


def copy_files(source: Path, target: Path, paths: list[str]) -> Iterator[tuple[str, str]]:
    """Copy files one by one, each whole or not at all; yield each path with its SHA-256.

    A file that is already there with the same size and digest is left as it is.

    Raises:
        DataError: If a copy is not equal to its source.
    """
    for path in paths:
        original, copy = source / path, target / path
        digest = sha256(original)
        if not _is(copy, original.stat().st_size, digest):
            copy.parent.mkdir(parents=True, exist_ok=True)
            partial = copy.with_name(f".{copy.name}.part")
            shutil.copyfile(original, partial)
            if sha256(partial) != digest:
                partial.unlink()
                msg = f"{copy}: the copy differs from {original}; see whether the disk is sound"
                raise DataError(msg)
            partial.replace(copy)
        yield path, digest


def sha256(path: Path) -> str:
    """Return a file's SHA-256 in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _is(path: Path, size: int, digest: str) -> bool:
    return path.is_file() and path.stat().st_size == size and sha256(path) == digest


def _unzip(archive: Path, folder: Path) -> None:
    with zipfile.ZipFile(archive) as zipped:
        for member in zipped.infolist():
            # zipfile would drop the offending parts and go on; such an archive is not trusted.
            if not is_inside(member.filename) or stat.S_ISLNK(member.external_attr >> 16):
                msg = f"{member.filename!r} leads out of the folder"
                raise zipfile.BadZipFile(msg)
        if broken := zipped.testzip():
            msg = f"{broken!r} is damaged"
            raise zipfile.BadZipFile(msg)
        zipped.extractall(folder)
