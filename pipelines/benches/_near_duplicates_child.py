"""Near duplicates among so many rows in a process of its own, to see what they take.

`python -m ... hashes ROWS RADIUS` or `vectors ROWS LEAST DIM`; it prints the seconds, how many rows
are kept, and the most memory that the process has had.
"""

import json
import sys
import time

import numpy as np

from medssl.selection import DescriptorTable
from medssl.selection.near_duplicates import NearDuplicates
from medssl.similarity.cosine import Cosine
from medssl.similarity.hamming import Hamming
from pipelines.benches._measuring import peak_bytes
from pipelines.benches._near_duplicates import walking_hashes, walking_vectors

WARM = 5_000  # rows that have the loops compiled


def main(kind: str, rows: int, limit: str, dim: int = 0) -> None:
    """Do the work and say what it took."""
    if kind == "hashes":
        selector = NearDuplicates(similarity=Hamming(radius=int(limit)), scope="all")
        values: np.ndarray = walking_hashes(rows)
    else:
        selector = NearDuplicates(similarity=Cosine(least=float(limit)), scope="all")
        values = walking_vectors(rows, dim)
    selector(table_of(values[:WARM]))
    table = table_of(values)
    start = time.perf_counter()
    kept = selector(table).kept
    taken_s = time.perf_counter() - start
    print(json.dumps({"taken_s": taken_s, "kept": len(kept), "peak_bytes": peak_bytes()}))


def table_of(values: np.ndarray) -> DescriptorTable:
    """Return rows in their order, without groups."""
    rows = np.arange(len(values))
    return DescriptorTable(values, np.zeros(len(values), np.int64), rows)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3], *map(int, sys.argv[4:]))
