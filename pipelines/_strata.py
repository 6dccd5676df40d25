"""Which stratum a case is of: what the manifest says of it, in a column or an attribute."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Int

from medssl.data.manifest import SCHEMA, Manifest
from medssl.errors import ConfigError

ATTRIBUTES = "attributes"
COLUMNS = tuple(field.name for field in SCHEMA if not pa.types.is_nested(field.type))
UNKNOWN = "unknown"


def strata_of(manifest: Manifest, by: str) -> tuple[Int[np.ndarray, "case"], tuple[str, ...]]:
    """Return the number of each case's stratum, and their names; `unknown` where nothing is said.

    Raises:
        ConfigError: If the manifest has no such column and no such attribute, or says nothing.
    """
    said = column(manifest, by) if by in COLUMNS else attribute(manifest, by)
    named = pc.fill_null(said, UNKNOWN).combine_chunks().dictionary_encode()
    return named.indices.to_numpy().astype(np.int64), tuple(named.dictionary.to_pylist())


def column(manifest: Manifest, name: str) -> pa.ChunkedArray:
    """Return a column as text.

    Raises:
        ConfigError: If it says nothing of any case.
    """
    values = manifest.table[name]
    if values.null_count == len(values):
        msg = f"stratify_by: no case of the manifest has a {name}; choose another column"
        raise ConfigError(msg)
    return values.cast(pa.string())


def attribute(manifest: Manifest, by: str) -> pa.ChunkedArray:
    """Return an attribute, named with `attributes.` before it or without.

    Raises:
        ConfigError: If no case has it.
    """
    name = by.removeprefix(f"{ATTRIBUTES}.")
    said = pc.map_lookup(manifest.table[ATTRIBUTES], query_key=name, occurrence="first")
    said = pc.if_else(pc.equal(said, ""), pa.scalar(None, pa.string()), said)  # which says nothing
    if said.null_count == len(said):
        known = {key for pairs in manifest.table[ATTRIBUTES].to_pylist() for key, _ in pairs or ()}
        msg = (
            f"stratify_by: the manifest has no column of one value a case, and no attribute, "
            f"{by!r}; there are the columns {list(COLUMNS)} and the attributes {sorted(known)}: "
            "name one of them"
        )
        raise ConfigError(msg)
    return said
