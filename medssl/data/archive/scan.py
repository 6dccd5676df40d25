"""Look at every file of an archive that is new or changed since the last look."""

import time
from collections.abc import Callable, Iterator

from medssl.data.archive.ledger import Ledger
from medssl.data.archive.look import Due, Row, look_at_all
from medssl.data.engine import SERIAL, Pool, map_bounded

BATCH = 32  # files that are looked at as one piece of work
SAVE_EVERY_S = 2.0  # what a killed run loses at most

# What was due, and what was seen of it.
Seen = tuple[list[Due], list[tuple[bytes, Row | None]]]


def scan(
    ledger: Ledger,
    pool: Pool = SERIAL,
    progress: Callable[[Iterator[Seen]], Iterator[Seen]] = iter,
) -> None:
    """Look at what is due, write down what was seen, and refuse what makes no case by itself.

    Args:
        ledger: Where the files were opened.
        pool: Who looks.
        progress: Shows how far it is.
    """
    saved_s = time.monotonic()
    done = map_bounded(
        look_at_all,
        ledger.looks.due(BATCH),
        pool=pool,
        memory_bytes=1,
        cost_bytes=lambda _: 0,
        named=lambda batch: f"{len(batch)} files from {ledger.file_id(batch[0].path)} on",
    )
    for _, looks in progress(done):
        ledger.looks.write(looks)
        if time.monotonic() - saved_s > SAVE_EVERY_S:
            ledger.save()
            saved_s = time.monotonic()
    ledger.save()
    _refuse(ledger)


def _refuse(ledger: Ledger) -> None:
    """Refuse the files that make no case whatever else is there."""
    # Voxels beside their header are no image by themselves, and no fault.
    claimed = ledger.looks.parts()
    for path, refusal in ledger.looks.refusals():
        if path not in claimed:
            ledger.refuse(path, refusal)
