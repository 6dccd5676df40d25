"""Sources that are a PACS, brought into the private folder of the index and read from there."""

from collections import Counter
from contextlib import AbstractContextManager
from dataclasses import asdict
from pathlib import Path

from medssl.config import pacs as schema
from medssl.config.stages.index import Root
from medssl.data.pacs import Pacs
from medssl.data.pacs.dicomweb import Site, open_dicomweb
from medssl.data.pacs.dimse import Peer, open_dimse
from medssl.data.pacs.query import Query, find_series, find_studies
from medssl.data.pacs.received import Received
from medssl.data.pacs.transfer import bring, failures, lacking
from medssl.errors import ConfigError, DataError
from pipelines._hidden import place_of
from pipelines._progress import track


def folder_of(number: int, source: Root, private: Path) -> Path:
    """Return the folder to index, after bringing what a PACS has and it has not.

    Args:
        number: Which source it is.
        source: What the config says of it.
        private: Where what is brought goes.

    Raises:
        DataError: If the PACS cannot be reached or refuses, or not everything came.
    """
    if source.pacs is None:
        return place_of(source.root or "", f"sources.{number}.root")
    (private / "received").mkdir(mode=0o700, exist_ok=True)
    received = Received(private / "received" / str(number))
    _receive(source.pacs, received)
    return received.files


def _receive(asked: schema.Pacs, received: Received) -> None:
    """Bring what the query finds and what is not here yet."""
    query = Query(
        modality=asked.query.modality,
        first=asked.query.dates.first,
        last=asked.query.dates.last,
        body_part=asked.query.body_part,
    )
    with _opened(asked) as pacs:
        studies = find_studies(pacs, query)
        asking = track(studies, total=len(studies), label="query", unit="studies")
        series = find_series(pacs, query, asking)

        received.settle([uid for one in series for uid in one.instances])
        num_missing = sum(len(lacking(one, received)) for one in series)
        coming = bring(pacs, series, received)
        failed = failures(track(coming, total=num_missing, label="receive", unit="instances"))

        num_all = sum(len(one.instances) for one in series)
        print(
            f"{pacs.address}: {len(series)} series, {num_all - failed.total()} instances, "
            f"{num_missing - failed.total()} of them new"
        )
        if failed:
            is_kept = asked.incomplete == "keep" and failed.total() < num_all
            _report(pacs, failed, num_all, is_error=not is_kept)


def _report(pacs: Pacs, failed: Counter[str], num_all: int, *, is_error: bool) -> None:
    """Say what did not come and why, as an error or as a warning."""
    why = "; ".join(f"{count} x {reason}" for reason, count in failed.most_common())
    said = f"{pacs.address}: {failed.total()} of {num_all} instances did not come: {why}"
    if is_error:
        msg = (
            f"{said}; the others are kept, and the same command asks for those alone; "
            "`incomplete: keep` goes on without them"
        )
        raise DataError(msg)
    print(f"warning: {said}")


def _opened(asked: schema.Pacs) -> AbstractContextManager[Pacs]:
    if asked.dicomweb is not None:
        return open_dicomweb(Site(**asdict(asked.dicomweb)))
    if asked.dimse is not None:
        return open_dimse(Peer(**asdict(asked.dimse)))
    msg = "pacs: expected exactly one of dimse, dicomweb"  # which the schema has seen to
    raise ConfigError(msg)
