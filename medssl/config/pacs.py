"""What the stage `index` may be told of a PACS."""

from datetime import date
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from medssl.config.schema import Positive, config
from medssl.errors import ConfigError

Title = Annotated[str, Field(pattern=r"^[^\\\s](?:[^\\]{0,14}[^\\\s])?$")]  # DICOM's AE
Code = Annotated[str, Field(pattern=r"^[A-Z0-9_ ]{1,16}$")]  # DICOM's CS
Port = Annotated[int, Field(ge=1, le=65535)]
Variable = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]


def _without_secret(url: str) -> str:
    if "@" in url or "?" in url:
        msg = (
            "url: expected the plain root of a DICOMweb service, got one with a user or a query in "
            "it; `credentials` names the environment variable that holds `user:password`"
        )
        raise ConfigError(msg)
    return url.rstrip("/")


Url = Annotated[str, Field(pattern=r"^https?://[^/\s]+"), AfterValidator(_without_secret)]


@config
class Dates:
    """A range of days, both ends in it.

    Args:
        first: The earliest day of a study; none is without end.
        last: The latest.
    """

    first: date | None = None
    last: date | None = None

    def __post_init__(self) -> None:
        if self.first and self.last and self.first > self.last:
            msg = f"dates: expected first <= last, got {self.first} and {self.last}"
            raise ConfigError(msg)


@config
class Query:
    """Which series of a PACS are wanted: those that fit everything that is said.

    Args:
        modality: DICOM's code.
        dates: Of the study.
        body_part: DICOM's code of what was examined; a series that says none does not fit.
    """

    modality: Code | None = None
    dates: Dates = Dates()
    body_part: Code | None = None

    def __post_init__(self) -> None:
        if not (self.modality or self.body_part or self.dates.first or self.dates.last):
            msg = (
                "query: expected at least one of modality, dates, body_part; "
                "without any the whole PACS would be brought here"
            )
            raise ConfigError(msg)


@config
class Dimse:
    """A PACS that speaks DICOM's own protocol (C-FIND, C-MOVE).

    Args:
        host: Of the PACS.
        port: Of the PACS.
        called_ae: Its title.
        calling_ae: Our title; the PACS must know it with this machine's address and listen_port.
        listen_host: The address of this machine at which the PACS reaches it.
        listen_port: The port that takes what the PACS sends.
        timeout_s: How long it may neither answer nor send.
    """

    host: str
    port: Port = 104
    called_ae: Title
    calling_ae: Title = "MEDSSL"
    listen_host: str = "127.0.0.1"
    listen_port: Port = 11112
    timeout_s: Positive = 60.0


@config
class DicomWeb:
    """A PACS with a DICOMweb service (QIDO-RS, WADO-RS).

    Args:
        url: The root of the service.
        credentials: The environment variable that holds `user:password` or `Bearer token`; the
            config holds neither. REQUESTS_CA_BUNDLE names a hospital's own certificates.
        timeout_s: How long it may say nothing.
    """

    url: Url
    credentials: Variable | None = None
    timeout_s: Positive = 60.0


@config
class Pacs:
    """What to bring from which PACS.

    Args:
        dimse: It speaks DICOM's own protocol.
        dicomweb: It has a DICOMweb service.
        query: Which series.
        incomplete: What becomes of a transfer in which instances did not come: an error, after
            which the same command asks for those alone; or the index is made of what is here.
    """

    dimse: Dimse | None = None
    dicomweb: DicomWeb | None = None
    query: Query
    incomplete: Literal["error", "keep"] = "error"

    def __post_init__(self) -> None:
        if (self.dimse is None) == (self.dicomweb is None):
            msg = "pacs: expected exactly one of dimse, dicomweb"
            raise ConfigError(msg)
