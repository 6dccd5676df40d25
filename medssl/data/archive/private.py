"""The private folder of an index: the key, and which file an id stands for."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from medssl.errors import DataError

FOLDER, KEY, FILES, LOOKS = "private", "key", "files.parquet", "looks.sqlite"


def open_private(output: Path) -> Path:
    """Return the private folder below an output folder, which only its owner may enter."""
    folder = output / FOLDER
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.chmod(0o700)
    return folder


def write_files(table: pa.Table, folder: Path) -> None:
    """Write which file each id stands for, whole or not at all."""
    temporary = folder / f".{FILES}.part"
    temporary.unlink(missing_ok=True)
    temporary.touch(mode=0o600)
    pq.write_table(table, temporary)
    temporary.replace(folder / FILES)


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
