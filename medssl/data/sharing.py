"""Objects for other processes of this machine, which share their Arrow tables with this one.

A manifest of a million cases is half a gigabyte, which each worker would have for itself. Here
tables travel as files that all map into their memory; the rest of an object is copied, as bytes
that reach a worker through the pipe that its parent started it with: no file is unpickled.
"""

import io
import pickle
from pathlib import Path
from typing import Any

import pyarrow as pa


def packed(thing: Any, folder: Path) -> bytes:
    """Return an object as bytes, and leave its tables in the folder.

    The folder is to be there until all who unpack it have, and to be used while the object
    lives: a table that lies there already is known by its place in memory.
    """
    buffer = io.BytesIO()
    _Packer(buffer, folder).dump(thing)
    return buffer.getvalue()


def unpacked(content: bytes, folder: Path) -> Any:
    """Return the object that was packed into this folder."""
    return _Unpacker(io.BytesIO(content), folder).load()


class _Packer(pickle.Pickler):
    def __init__(self, buffer: io.BytesIO, folder: Path) -> None:
        super().__init__(buffer, pickle.HIGHEST_PROTOCOL)
        self.folder = folder

    def persistent_id(self, thing: Any) -> str | None:
        if not isinstance(thing, pa.Table):
            return None
        path = self.folder / f"{id(thing)}.arrow"
        if not path.exists():
            with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, thing.schema) as writer:
                writer.write_table(thing)
        return path.name


class _Unpacker(pickle.Unpickler):
    def __init__(self, buffer: io.BytesIO, folder: Path) -> None:
        super().__init__(buffer)
        self.folder = folder

    def persistent_load(self, name: str) -> pa.Table:
        with pa.memory_map(str(self.folder / name)) as file:
            return pa.ipc.open_file(file).read_all()
