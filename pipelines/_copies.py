"""Near copies of volumes: one series saved again, under another name or after some processing.

Equal digests tell copies bit for bit; 3-D difference hashes, which `embed` makes, tell those with
another gain or a little noise. A subject who stands in two splits under two names is a leak.
"""

from itertools import combinations
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import UInt64

from medssl.data.manifest import Manifest
from medssl.errors import ConfigError, DataError
from medssl.models.export import HASH, knows_hashes
from medssl.similarity.hamming import is_near, nearest
from pipelines._descriptors import read_descriptors

SPLITS = ("test", "val", "train")
SHOWN = 3  # pairs that an error names


def with_hashes(manifest: Manifest, descriptors: Path | None) -> pa.Table:
    """Return the manifest's table, with a column for the hash of each volume if there are hashes.

    Raises:
        ConfigError: If the descriptors are no hashes of volumes.
    """
    if descriptors is None:
        return manifest.table
    rows = read_descriptors(descriptors, manifest, split=None)
    if (rows.kind, rows.unit) != ("hash", "volume"):
        msg = (
            f"descriptors: {descriptors} holds a {rows.kind} a {rows.unit}, expected a hash a "
            "volume; give what `medssl embed configs/embed/dhash_volumes.yaml` wrote"
        )
        raise ConfigError(msg)
    return manifest.table.append_column(HASH, pa.array([row.tobytes() for row in rows.values]))


def check_splits(cases: pa.Table) -> None:
    """Refuse near copies that stand in two splits as two subjects.

    Raises:
        DataError: With how many there are, and the first few.
    """
    if HASH not in cases.column_names:
        return
    by_split = {split: cases.filter(pc.equal(cases["split"], split)) for split in SPLITS}
    found = [
        pair
        for one, other in combinations(SPLITS, 2)
        for pair in near_copies(by_split[one], by_split[other])
    ]
    if found:
        msg = (
            f"{len(found)} cases stand in two splits as two subjects, being near copies, such as "
            f"{'; '.join(found[:SHOWN])}; give both one name (`subject` of `index`) or leave one "
            "out, and split again"
        )
        raise DataError(msg)


def not_looked_for(cases: pa.Table, export: Path | None = None) -> list[str]:
    """Return a sentence where near copies cannot be told because hashes are not known, else none.

    Args:
        cases: What `with_hashes` gave.
        export: The weights that must not know them, if there are any.
    """
    if HASH not in cases.column_names:
        return [
            "near copies were not looked for: there are no hashes; give as `descriptors` what "
            "`medssl embed configs/embed/dhash_volumes.yaml` writes"
        ]
    if export is not None and not knows_hashes(export):
        return [
            f"near copies of what {export} was trained on were not looked for: it holds no hashes; "
            "train it with `descriptors`"
        ]
    return []


def near_copies(cases: pa.Table, others: pa.Table) -> list[str]:
    """Return in words which cases are near copies of which others."""
    if not len(cases) or not len(others):
        return []
    hashes = words(cases)
    bits, number = nearest(hashes, words(others))
    return [
        f"{_named(cases, row)} and {_named(others, int(number[row]))}, {bits[row]} bits apart"
        for row in np.flatnonzero(is_near(bits, hashes.shape[1])).tolist()
    ]


def _named(cases: pa.Table, row: int) -> str:
    return f"{cases['case_id'][row].as_py()} ({cases['split'][row].as_py()})"


def words(cases: pa.Table) -> UInt64[np.ndarray, "case word"]:
    """Return the hashes of cases."""
    return np.array([np.frombuffer(one, np.uint64) for one in cases[HASH].to_pylist()])
