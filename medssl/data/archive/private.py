"""The private folder of an index: the key, and which file an id stands for."""

import os
from pathlib import Path
from urllib.parse import unquote_to_bytes

import pyarrow as pa
import pyarrow.parquet as pq

from medssl.errors import DataError

URI = "file://"
FOLDER, KEY, FILES, LOOKS = "private", "key", "files.parquet", "looks.sqlite"


def open_private(output: Path) -> Path:
    """Return the private folder below an output folder, which only its owner may enter.

    Raises:
        DataError: If it is a link, or holds one: what it leads to may be another's.
    """
    folder = output / FOLDER
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if links := [path for path in (folder, *folder.iterdir()) if path.is_symlink()]:
        msg = f"{links[0]} is a link; the private folder and what is in it must lie in {output}"
        raise DataError(msg)
    folder.chmod(0o700)
    return folder


def write_files(table: pa.Table, folder: Path) -> None:
    """Write which file each id stands for, whole or not at all."""
    temporary = folder / f".{FILES}.part"
    temporary.unlink(missing_ok=True)
    temporary.touch(mode=0o600)
    pq.write_table(table, temporary)
    temporary.replace(folder / FILES)


def text_of(path: bytes) -> str:
    """Return an absolute path as a table keeps it: as it is, or as a URI if it is no UTF-8."""
    try:
        return path.decode()
    except UnicodeDecodeError:
        return Path(os.fsdecode(path)).as_uri()


def path_of(text: str) -> Path:
    """Return the path that `text_of` made a text of."""
    if not text.startswith(URI):
        return Path(text)
    return Path(os.fsdecode(unquote_to_bytes(text.removeprefix(URI))))


def read_files(output: Path) -> pa.Table:
    """Read which file each id stands for.

    Raises:
        DataError: If the folder is no index, or its private part is not to be read.
    """
    path = output / FOLDER / FILES
    try:
        return pq.read_table(path)
    except (OSError, pa.ArrowInvalid) as error:
        msg = f"{path}: {error}; {output} must be the folder that `medssl index` wrote"
        raise DataError(msg) from error
