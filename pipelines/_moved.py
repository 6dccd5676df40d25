"""Manifests with other columns, and of other folders."""

import posixpath
from collections.abc import Sequence
from os.path import relpath
from pathlib import Path

import pyarrow as pa

from medssl.data.manifest import SCHEMA, Manifest


def moved(manifest: Manifest, old: Path, new: Path) -> Manifest:
    """Return the manifest with paths relative to another folder."""
    way = Path(relpath(old.resolve(), new.resolve())).as_posix()
    table = manifest.table
    for column in ("image_uri", "label_uri"):
        uris = table[column].to_pylist()
        there = [uri and posixpath.normpath(posixpath.join(way, uri)) for uri in uris]
        table = with_column(table, column, there)
    return Manifest(table)


def with_column(table: pa.Table, column: str, values: Sequence[object]) -> pa.Table:
    """Return a manifest's table with other values in a column."""
    place = SCHEMA.get_field_index(column)
    field = SCHEMA.field(place)
    return table.set_column(place, field, pa.array(values, field.type))
