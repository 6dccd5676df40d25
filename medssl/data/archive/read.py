"""The volumes of a folder or a file, one after the other, without an index being written."""

from collections.abc import Iterator
from pathlib import Path

from medssl.data.archive.cases import Known, refuse, take
from medssl.data.archive.ledger import Ledger
from medssl.data.archive.measure import measure
from medssl.data.archive.scan import scan
from medssl.data.archive.units import find_units
from medssl.data.archive.walk import walk
from medssl.data.manifest import Case
from medssl.data.verdicts import RefusedError
from medssl.data.volume import Volume


def volumes_of(
    path: Path, ledger: Ledger, *, modality: str | None = None
) -> Iterator[tuple[Case, Volume]]:
    """Yield each image below a folder, or of one file, with its row; one is in memory at a time.

    Once all are taken, the ledger says of every file what became of it. The cases' `image_uri`s
    lead nowhere: there is no index to resolve them.

    Raises:
        DataError: If there is nothing at `path`.
    """
    ledger.open(walk(path))
    scan(ledger)
    for unit in find_units(ledger):
        try:
            volume = unit.read()
        except RefusedError as refusal:
            refuse(unit, refusal, ledger)
            continue
        yield take(unit, measure(volume), ledger, Known(modality=modality)), volume
