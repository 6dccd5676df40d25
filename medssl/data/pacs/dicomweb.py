"""A PACS by DICOMweb: QIDO-RS to search, WADO-RS to retrieve as stored.

Source: DICOM PS3.18 2024, 10.6 (search), 10.4 (retrieve), 8.7.3.5 (transfer syntax `*`).

dicomweb-client searches. It would also retrieve, but hands over parsed data sets; what is kept
here are the bytes that came, if they came to their end.
"""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from email.message import Message
from http import HTTPStatus
from typing import Any

import requests
from dicomweb_client.api import DICOMwebClient
from pydicom.datadict import tag_for_keyword
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

from medssl.data.pacs import Level, Outcome, Series
from medssl.data.pacs.quiet import quiet_network
from medssl.data.pacs.received import Received
from medssl.errors import ConfigError, DataError

PAGE = 1000  # answers to ask for at once
REFUSALS = (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN)
CUT = (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError)
PATIENCE = 10  # instances in a row that do not come; then the series is left
AS_STORED = 'multipart/related; type="application/dicom"; transfer-syntax=*'
# What a server says in passing, and a connection that it closed while it was idle.
RETRY = Retry(
    connect=0, read=1, status=3, backoff_factor=1, status_forcelist=(429, 503),
    raise_on_status=False,
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Site:
    """Where a DICOMweb service is.

    Args:
        url: Its root.
        credentials: The environment variable that holds `user:password` or `Bearer token`.
        timeout_s: How long it may say nothing.
    """

    url: str
    credentials: str | None
    timeout_s: float


@contextmanager
def open_dicomweb(site: Site) -> Iterator["DicomWeb"]:
    """Keep connections for a while."""
    with quiet_network(), requests.Session() as session:
        session.mount("http://", HTTPAdapter(max_retries=RETRY))
        session.mount("https://", HTTPAdapter(max_retries=RETRY))
        session.auth = _credentials(site.credentials)
        yield DicomWeb(site, session)


class DicomWeb:
    """A PACS behind a DICOMweb service.

    Args:
        site: Where.
        session: Connections to it.
    """

    def __init__(self, site: Site, session: requests.Session) -> None:
        self._site, self._session = site, session
        self._client = DICOMwebClient(
            site.url, session=session, permissive_uid=True, timeout=site.timeout_s
        )
        self._client.set_http_retry_params(retry=False)  # the session does

    @property
    def address(self) -> str:
        """Its URL."""
        return self._site.url

    def search(self, level: Level, keys: Mapping[str, str]) -> list[dict[str, str]]:
        """Return what there is at a level, each with the values of all keys."""
        within = [
            keys[name] for name in ("StudyInstanceUID", "SeriesInstanceUID") if keys.get(name)
        ]
        uids = [name for name in keys if name.endswith("InstanceUID")]
        options: dict[str, Any] = {
            "search_filters": {n: v for n, v in keys.items() if v and n not in uids},
            "fields": [name for name in keys if name not in uids],
            "limit": PAGE,
        }
        asks: dict[Level, Callable[..., list[dict[str, dict[str, Any]]]]] = {
            "STUDY": self._client.search_for_studies,
            "SERIES": self._client.search_for_series,
            "IMAGE": self._client.search_for_instances,
        }
        found: dict[str, dict[str, str]] = {}
        while True:
            with self._speaking(f"a query at {level} level"):
                page = asks[level](*within, offset=len(found), **options)
            rows = [{name: _value(item, name) for name in keys} for item in page]
            new = {row[uids[-1]]: row for row in rows if row[uids[-1]] not in found}
            if not new:
                return list(found.values())
            found |= new

    def retrieve(
        self, series: Series, missing: Sequence[str], received: Received
    ) -> Iterator[Outcome]:
        """Fetch these instances, one after the other; yield one outcome for each."""
        fruitless = 0
        for uid in missing:
            if fruitless == PATIENCE:
                yield Outcome(uid, "not asked for, as none came of those before")
                continue
            why = self._fetch(series, uid, received)
            fruitless = 0 if why is None else fruitless + 1
            yield Outcome(uid, why)

    def _fetch(self, series: Series, uid: str, received: Received) -> str | None:
        """Fetch an instance, or return why it cannot be had."""
        where = f"studies/{series.study_uid}/series/{series.series_uid}/instances/{uid}"
        with self._speaking("a transfer"):
            answer = self._session.get(
                f"{self._site.url}/{where}",
                # Packing images again would take longer than sending them.
                headers={"Accept": AS_STORED, "Accept-Encoding": "identity"},
                timeout=self._site.timeout_s,
            )
            if answer.status_code in REFUSALS:
                answer.raise_for_status()
        if not answer.ok:
            return f"HTTP {answer.status_code}"
        content = _instance(answer)
        if content is None:
            return "an answer that is no whole DICOM file"
        received.write(uid, content)
        return None

    @contextmanager
    def _speaking(self, what: str) -> Iterator[None]:
        """Turn what requests raises into one line; its own words hold UIDs.

        Raises:
            DataError: If something went wrong.
        """
        try:
            yield
        except requests.HTTPError as error:
            code = error.response.status_code if error.response is not None else 0
            msg = f"{self.address} failed at {what}: HTTP {code}; {_advice(code)}"
            raise DataError(msg) from error
        except CUT as error:
            msg = (
                f"{self.address} cannot be reached, or was cut off, during {what} "
                f"({type(error).__name__}); check url, and that it runs; the same command goes on "
                "from here"
            )
            raise DataError(msg) from error
        except requests.RequestException as error:
            msg = (
                f"{self.address} did not answer {what} as a DICOMweb service does "
                f"({type(error).__name__}); url must be the root of one"
            )
            raise DataError(msg) from error


def _advice(code: int) -> str:
    if code in REFUSALS:
        return (
            "`credentials` names the environment variable that holds `user:password` or "
            "`Bearer token` of one who may search and retrieve"
        )
    if code >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return "its own log says why; the same command goes on from here"
    return "url must be the root of its DICOMweb service"


def _credentials(variable: str | None) -> Any:
    """Return what requests signs with; never nothing, for it would look into ~/.netrc.

    Raises:
        ConfigError: If the variable is not set.
    """
    if variable is None:
        return lambda request: request
    value = os.environ.get(variable)
    if not value:
        msg = f"credentials: the environment variable {variable} is not set"
        raise ConfigError(msg)
    if not value.startswith("Bearer "):
        user, _, password = value.partition(":")
        return requests.auth.HTTPBasicAuth(user.encode(), password.encode())

    def signed(request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = value
        return request

    return signed


def _value(item: Mapping[str, Any], name: str) -> str:
    """Return the first value of an attribute in DICOM's JSON."""
    values = item.get(f"{tag_for_keyword(name):08X}", {}).get("Value") or [""]
    return str(values[0])


def _instance(answer: requests.Response) -> bytes | None:
    """Return the one DICOM file of an answer, if it is whole."""
    said = Message()
    said["Content-Type"] = answer.headers.get("Content-Type", "")
    content: bytes | None = answer.content
    boundary = said.get_boundary()
    if boundary is not None:
        _, opened, rest = answer.content.partition(f"--{boundary}".encode())
        _, _, body = rest.partition(b"\r\n\r\n")
        content, closed, _ = body.rpartition(f"\r\n--{boundary}--".encode())
        content = content if opened and closed else None
    return content if content is not None and content[128:132] == b"DICM" else None
