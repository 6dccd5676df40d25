"""From a query to a folder that holds each instance once, however often it is interrupted."""

from collections.abc import Callable, Iterable, Iterator

from medssl.data.pacs import Pacs
from medssl.data.pacs.query import Query, Series
from medssl.data.pacs.received import Received
from medssl.errors import DataError

Progress = Callable[[Iterable[Series], int], Iterator[Series]]


def receive(pacs: Pacs, query: Query, received: Received, progress: Progress) -> int:
    """Fetch what is not there yet, series by series; return how many series there are.

    Raises:
        DataError: If the PACS cannot be reached, refuses, finds nothing, or sends less than it
            has; what came is kept, and the next run asks for the rest.
    """
    received.sweep()
    found = list(dict.fromkeys(pacs.series(query)))
    if not found:
        msg = f"{pacs}: it has no series that the query takes ({query}); widen the query"
        raise DataError(msg)
    lacking = 0
    for series in progress(found, len(found)):
        missing = received.missing(pacs.instances(series))
        if missing:
            pacs.fetch(series, missing, received)
            lacking += len(received.missing(missing))
    if lacking:
        msg = (
            f"{pacs}: {lacking} instances did not come, though it lists them; its log says why. "
            "What came is kept; run this again to ask for the rest"
        )
        raise DataError(msg)
    return len(found)
