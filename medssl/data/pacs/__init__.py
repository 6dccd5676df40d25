"""Images of a PACS: what a query finds there, received into a folder that is then indexed.

A file here is a way to talk to one. It offers `series(query)`, `instances(series)` and
`fetch(series, instances, received)`; what it fetches it hands to `received`, each instance whole
or not at all, so that a transfer that was cut is gone on with.
"""

from collections.abc import Iterator, Sequence
from typing import Protocol, runtime_checkable

from medssl.data.pacs.query import Query, Series
from medssl.data.pacs.received import Received


@runtime_checkable
class Pacs(Protocol):
    """A PACS."""

    def series(self, query: Query) -> Iterator[Series]:
        """Yield the series that a query finds.

        Raises:
            DataError: If the PACS cannot be reached, refuses, or breaks off.
        """

    def instances(self, series: Series) -> list[str]:
        """Return the UIDs of the instances that a series has there."""

    def fetch(self, series: Series, instances: Sequence[str], received: Received) -> None:
        """Have some instances of a series sent, as they are stored there."""
