"""What `index` may be told of a PACS: how to reach it, and what to ask it for."""

from medssl.config.schema import Count, Positive, config
from medssl.data.pacs.query import Query
from medssl.errors import ConfigError


@config
class DimsePacs:
    """A PACS over DIMSE, which must know our title, address and `listen_port`.

    Args:
        host: Where it is.
        port: Where it listens.
        called_ae: Its application entity title.
        calling_ae: Ours.
        listen_port: Where we listen for what it sends.
        listen_host: On which of our addresses; one that it can reach.
        timeout_s: How long it may say nothing.
    """

    host: str
    port: Count
    called_ae: str
    calling_ae: str = "MEDSSL"
    listen_port: Count = 11112
    listen_host: str = "127.0.0.1"
    timeout_s: Positive = 60.0


@config
class WebPacs:
    """A PACS over DICOMweb.

    Args:
        url: Of the service, such as `https://pacs.hospital.example/dicom-web`.
        authorization: The environment variable that holds the value of the Authorization header.
        timeout_s: How long it may say nothing.
    """

    url: str
    authorization: str | None = None
    timeout_s: Positive = 60.0


@config
class PacsSource:
    """A query to a PACS.

    Args:
        dimse: How to reach it over DIMSE.
        dicomweb: How to reach it over DICOMweb.
        query: What to ask for.
    """

    dimse: DimsePacs | None = None
    dicomweb: WebPacs | None = None
    query: Query = Query()

    def __post_init__(self) -> None:
        if (self.dimse is None) == (self.dicomweb is None):
            msg = "pacs: expected exactly one of dimse and dicomweb"
            raise ConfigError(msg)
