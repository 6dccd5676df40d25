"""What does a PACS hold of what was asked for, and how does each instance of it arrive once?

`query` says what is asked at which level, `dimse` and `dicomweb` ask it in the two languages that
a PACS speaks, `storage` takes what `dimse` has sent to us, `transfer` asks for what is missing
alone, and `received` keeps it: a folder that is then an archive like any other. An instance is
known by its SOP instance UID; no file name and no message holds one.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

from medssl.data.pacs.received import Received

Level = Literal["STUDY", "SERIES", "IMAGE"]


@dataclass(frozen=True)
class Series:
    """A series that a PACS holds.

    Args:
        study_uid: The visit.
        series_uid: The series.
        instances: The SOP instance UIDs.
    """

    study_uid: str
    series_uid: str
    instances: tuple[str, ...]


@dataclass(frozen=True)
class Outcome:
    """What became of an instance that was asked for.

    Args:
        uid: Its SOP instance UID.
        failure: Why it is not here, in words that tell failures of one kind; none if it is.
    """

    uid: str
    failure: str | None = None


@runtime_checkable
class Pacs(Protocol):
    """A PACS that is asked questions and hands over instances.

    Both methods raise a DataError, in one line, if it cannot be reached or refuses.
    """

    @property
    def address(self) -> str:
        """What messages call it."""
        ...

    def search(self, level: Level, keys: Mapping[str, str]) -> list[dict[str, str]]:
        """Return what there is at a level, each with the values of all keys.

        Args:
            level: Of what is listed.
            keys: By DICOM's keyword: what must match, and, empty, what to tell.
        """
        ...

    def retrieve(
        self, series: Series, missing: Sequence[str], received: Received
    ) -> Iterator[Outcome]:
        """Bring these instances of a series, stored as they are there; yield one outcome for each.

        Args:
            series: Which one.
            missing: The instances to bring.
            received: Takes them.
        """
        ...
