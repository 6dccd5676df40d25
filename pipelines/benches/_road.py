"""The stages that are measured, called as the command line calls them."""

import io
from collections.abc import Sequence
from contextlib import closing, redirect_stdout
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from medssl.config.load import resolve
from medssl.config.stages.cache import Cache
from medssl.config.stages.index import Index
from medssl.data.archive.ledger import Ledger
from medssl.data.archive.private import LOOKS
from medssl.data.archive.pseudonyms import Pseudonyms
from medssl.data.archive.scan import scan
from medssl.data.archive.units import find_units
from medssl.data.archive.walk import walk
from medssl.data.engine import open_pool
from medssl.errors import DataError
from pipelines import cache, index

NATIVE = {"crop_to_foreground": False}  # each image on its own grid, whole


def index_and_cache(
    roots: Sequence[Path], output: Path, *, jobs: int, scheduler: str = "threads"
) -> None:
    """Index folders and cache their volumes as they are."""
    workers: dict[str, Any] = {"jobs": jobs, "scheduler": scheduler}
    sources = [{"root": str(root)} for root in roots]
    there = str(output / "index")
    asked = workers | {"index": there, "output": str(output / "cache"), "preprocessing": NATIVE}
    with redirect_stdout(io.StringIO()):
        index.run(resolve(Index, None, [workers | {"sources": sources, "output": there}]))
        cache.run(resolve(Cache, None, [asked]))


def headers(root: Path, output: Path, *, jobs: int) -> None:
    """Do what `index` does before it reads voxels: look at all files, find the volumes."""
    ledger = Ledger(Pseudonyms(bytes(32)), output / LOOKS)
    with closing(ledger), open_pool("threads", jobs) as pool:
        ledger.open(walk(root))
        scan(ledger, pool)
        for _ in find_units(ledger):
            pass


def check_accepted(output: Path, num_files: int) -> None:
    """Check that all files of what was indexed are in cases: those were measured, and no less.

    Raises:
        DataError: If some were refused.
    """
    codes = pq.read_table(output / "index" / "verdicts.parquet")["status"].to_pylist()
    if codes.count("accepted") != num_files:
        msg = (
            f"expected {num_files} accepted files, got {codes.count('accepted')} of {len(codes)}; "
            "a bench needs series that `index` takes whole"
        )
        raise DataError(msg)
