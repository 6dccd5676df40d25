"""A PACS over DICOMweb: QIDO-RS to look, WADO-RS to fetch, through dicomweb-client.

Source: DICOM PS3.18 2024, 10.4 (retrieve), 10.6 (search).
"""

import io
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import requests
from dicomweb_client import DICOMwebClient
from pydicom.dataset import Dataset
from requests.exceptions import HTTPError, RequestException

from medssl.data.pacs.query import Query, Series
from medssl.data.pacs.received import Received
from medssl.errors import DataError

AS_STORED = (("application/dicom", "*"),)
FIELDS = ["StudyInstanceUID", "SeriesInstanceUID", "Modality", "BodyPartExamined", "StudyDate"]
HINTS = {
    401: "it wants credentials: name the environment variable that holds the Authorization header "
    "in `authorization`",
    403: "it does not permit this",
    404: "there is no such service: is the address right?",
}


class Dicomweb:
    """Talks DICOMweb with a PACS.

    Args:
        url: Of the service.
        authorization: The value of the Authorization header, if it wants one.
        timeout_s: How long it may say nothing.
    """

    def __init__(self, *, url: str, authorization: str | None, timeout_s: float) -> None:
        self.url = url
        session = requests.Session()
        session.trust_env = False  # no proxy between: patients' images go where the config says
        headers = {"Authorization": authorization} if authorization else None
        self.client = DICOMwebClient(url, session=session, headers=headers, timeout=timeout_s)
        self.client.set_http_retry_params(max_attempts=3, wait_exponential_multiplier=250)
        # Their log lines hold addresses with the UIDs of what is asked for, and whole tracebacks.
        for name in ("dicomweb_client", "retrying"):
            logging.getLogger(name).setLevel(logging.CRITICAL + 1)

    def series(self, query: Query) -> Iterator[Series]:
        """Yield the series that a query finds.

        Raises:
            DataError: If the PACS cannot be reached, refuses, or breaks off.
        """
        for modality in query.modalities or ("",):
            filters = {"Modality": modality, "StudyDate": query.study_dates}
            with self._talking():
                found = self.client.search_for_series(
                    search_filters={name: value for name, value in filters.items() if value},
                    fields=FIELDS,
                    get_remaining=True,
                )
            for row in map(Dataset.from_json, found):
                series = Series(
                    study_uid=str(row.StudyInstanceUID),
                    series_uid=str(row.SeriesInstanceUID),
                    modality=str(row.get("Modality") or ""),
                    body_part=str(row.get("BodyPartExamined") or ""),
                )
                if query.takes(series) and query.takes_day(str(row.get("StudyDate") or "")):
                    yield series

    def instances(self, series: Series) -> list[str]:
        """Return the UIDs of the instances that a series has there."""
        with self._talking():
            found = self.client.search_for_instances(
                series.study_uid, series.series_uid, get_remaining=True
            )
        return [str(Dataset.from_json(row).SOPInstanceUID) for row in found]

    def fetch(self, series: Series, instances: Sequence[str], received: Received) -> None:
        """Have some instances of a series sent, as they are stored there."""
        for uid in instances:
            with self._talking():
                found = self.client.retrieve_instance(
                    series.study_uid, series.series_uid, uid, media_types=AS_STORED
                )
            received.keep(uid, _encoded(found))

    @contextmanager
    def _talking(self) -> Iterator[None]:
        try:
            yield
        except HTTPError as error:
            code = error.response.status_code if error.response is not None else 0
            msg = f"{self}: it answers {code}; {HINTS.get(code, 'its log says why')}"
            raise DataError(msg) from error
        except (RequestException, OSError) as error:
            msg = (
                f"{self}: nobody answers there, or it broke off ({type(error).__name__}); is the "
                "address right? Run this again to go on"
            )
            raise DataError(msg) from error

    def __str__(self) -> str:
        return f"PACS at {self.url}"


def _encoded(found: Any) -> bytes:
    """Return an instance as a file; elements that nobody looked at are as they came."""
    content = io.BytesIO()
    found.save_as(content, enforce_file_format=True)
    return content.getvalue()
