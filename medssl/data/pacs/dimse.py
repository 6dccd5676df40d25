"""A PACS over DIMSE: C-FIND to look, C-MOVE to have instances sent here.

The storage service that receives them takes every syntax as it is stored and changes nothing.

Source: DICOM PS3.4 2024, Annex B (storage), C.4.1 (C-FIND), C.4.2 (C-MOVE).
"""

import logging
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from pydicom.dataset import Dataset
from pynetdicom import (
    AE,
    ALL_TRANSFER_SYNTAXES,
    AllStoragePresentationContexts,
    evt,
)
from pynetdicom.association import Association

from medssl.data.pacs.query import Query, Series
from medssl.data.pacs.received import Received
from medssl.errors import DataError

FIND = "1.2.840.10008.5.1.4.1.2.2.1"  # study root
MOVE = "1.2.840.10008.5.1.4.1.2.2.2"
PENDING = (0xFF00, 0xFF01)
UNKNOWN_DESTINATION = 0xA801
AT_A_TIME = 100  # instances that one C-MOVE names


class Dimse:
    """Talks DIMSE with a PACS.

    Args:
        host: Where the PACS is.
        port: Where it listens.
        called_ae: Its application entity title.
        calling_ae: Ours, which it must know with our host and `listen_port`.
        listen_port: Where we listen for what it sends.
        listen_host: On which of our addresses.
        timeout_s: How long it may say nothing.
    """

    def __init__(
        self,
        *,
        host: str,
        port: int,
        called_ae: str,
        calling_ae: str,
        listen_port: int,
        listen_host: str,
        timeout_s: float,
    ) -> None:
        self.host, self.port = host, port
        self.called_ae, self.calling_ae = called_ae, calling_ae
        self.listen_port, self.listen_host = listen_port, listen_host
        self.timeout_s = timeout_s
        # Its log lines hold the names of patients.
        logging.getLogger("pynetdicom").setLevel(logging.CRITICAL + 1)

    def series(self, query: Query) -> Iterator[Series]:
        """Yield the series that a query finds.

        Raises:
            DataError: If the PACS cannot be reached, refuses, or breaks off.
        """
        with self._associated(FIND) as pacs:
            for modality in query.modalities or ("",):
                asked = _keys("STUDY", StudyDate=query.study_dates, StudyInstanceUID="")
                asked.ModalitiesInStudy = modality
                for study in self._find(pacs, asked):
                    if query.takes_day(str(study.get("StudyDate") or "")):
                        yield from self._series_of(
                            pacs, str(study.StudyInstanceUID), modality, query
                        )

    def _series_of(
        self, pacs: Association, study_uid: str, modality: str, query: Query
    ) -> Iterator[Series]:
        asked = _keys(
            "SERIES",
            StudyInstanceUID=study_uid,
            SeriesInstanceUID="",
            Modality=modality,
            BodyPartExamined="",
        )
        for found in self._find(pacs, asked):
            series = Series(
                study_uid=study_uid,
                series_uid=str(found.SeriesInstanceUID),
                modality=str(found.get("Modality") or ""),
                body_part=str(found.get("BodyPartExamined") or ""),
            )
            if query.takes(series) and (not modality or series.modality == modality):
                yield series

    def instances(self, series: Series) -> list[str]:
        """Return the UIDs of the instances that a series has there."""
        asked = _keys(
            "IMAGE",
            StudyInstanceUID=series.study_uid,
            SeriesInstanceUID=series.series_uid,
            SOPInstanceUID="",
        )
        with self._associated(FIND) as pacs:
            return [str(found.SOPInstanceUID) for found in self._find(pacs, asked)]

    def fetch(self, series: Series, instances: Sequence[str], received: Received) -> None:
        """Have some instances of a series sent, as they are stored there."""
        wanted = set(instances)

        def store(event: Any) -> int:
            uid = str(event.request.AffectedSOPInstanceUID)
            if uid not in wanted:
                return 0xA900  # nobody asked for it
            received.keep(uid, event.encoded_dataset())
            return 0x0000

        with self._listening(store), self._associated(MOVE) as pacs:
            for first in range(0, len(instances), AT_A_TIME):
                asked = _keys(
                    "IMAGE",
                    StudyInstanceUID=series.study_uid,
                    SeriesInstanceUID=series.series_uid,
                    SOPInstanceUID=list(instances[first : first + AT_A_TIME]),
                )
                self._move(pacs, asked)

    def _find(self, pacs: Association, asked: Dataset) -> Iterator[Dataset]:
        # All of them before the first: another question may be asked meanwhile.
        found = []
        for status, identifier in pacs.send_c_find(asked, FIND):
            code = self._code(status, "C-FIND")
            if code in PENDING and identifier is not None:
                found.append(identifier)
            elif code not in (*PENDING, 0x0000):
                msg = f"{self}: C-FIND ended with status {code:#06x}; its log says why"
                raise DataError(msg)
        yield from found

    def _move(self, pacs: Association, asked: Dataset) -> None:
        for status, _ in pacs.send_c_move(asked, self.calling_ae, MOVE):
            code = self._code(status, "C-MOVE")
            if code == UNKNOWN_DESTINATION:
                msg = (
                    f"{self}: it knows no {self.calling_ae} to send to; list it there with this "
                    f"machine's address and port {self.listen_port} (Orthanc: DicomModalities)"
                )
                raise DataError(msg)
            # Some that fail (0xB000) are told by what is missing in the end.
            if code not in (*PENDING, 0x0000, 0xB000):
                msg = (
                    f"{self}: C-MOVE ended with status {code:#06x}; can it reach port "
                    f"{self.listen_port} of this machine? Its log says why; run this again to go on"
                )
                raise DataError(msg)

    def _code(self, status: Dataset, what: str) -> int:
        if "Status" not in status:  # it timed out, or the connection was cut
            msg = (
                f"{self}: it broke off during {what}; does it list {self.calling_ae} as a caller "
                "that may ask (Orthanc: DicomModalities)? If so, run this again to go on"
            )
            raise DataError(msg)
        return int(status.Status)

    @contextmanager
    def _associated(self, context: str) -> Iterator[Association]:
        self._require_answer()
        entity = self._entity()
        entity.add_requested_context(context)
        pacs = entity.associate(self.host, self.port, ae_title=self.called_ae)
        if not pacs.is_established:
            raise DataError(self._refused(pacs))
        try:
            yield pacs
        finally:
            if pacs.is_established:
                pacs.release()

    def _refused(self, pacs: Association) -> str:
        if pacs.is_rejected:
            return (
                f"{self}: it rejects {self.calling_ae}; it must be listed there as a caller "
                f"(Orthanc: DicomModalities), and {self.called_ae} must be its own title"
            )
        return f"{self}: what answers there is no PACS, or it is too busy"

    def _require_free(self, address: tuple[str, int]) -> None:
        """Bind once and let go, for the same reason."""
        try:
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(address)
        except OSError as error:
            msg = f"cannot listen at {address[0]}:{address[1]} ({error.strerror}); is it in use?"
            raise DataError(msg) from error

    def _require_answer(self) -> None:
        """Connect once and hang up: pynetdicom would leave a socket open that did not connect."""
        try:
            socket.create_connection((self.host, self.port), self.timeout_s).close()
        except OSError as error:
            msg = (
                f"{self}: nobody answers there ({error}); is the PACS up, are host and port right?"
            )
            raise DataError(msg) from error

    @contextmanager
    def _listening(self, store: Any) -> Iterator[None]:
        entity = self._entity()
        for context in AllStoragePresentationContexts:
            entity.add_supported_context(context.abstract_syntax or "", ALL_TRANSFER_SYNTAXES)
        address = (self.listen_host, self.listen_port)
        self._require_free(address)
        server = entity.start_server(address, block=False, evt_handlers=[(evt.EVT_C_STORE, store)])
        try:
            yield
        finally:
            if server is not None:
                server.shutdown()

    def _entity(self) -> AE:
        entity = AE(ae_title=self.calling_ae)
        entity.acse_timeout = entity.dimse_timeout = self.timeout_s
        entity.network_timeout = entity.connection_timeout = self.timeout_s
        entity.maximum_pdu_size = 0  # as large as the PACS likes
        return entity

    def __str__(self) -> str:
        return f"PACS {self.called_ae} at {self.host}:{self.port}"


def _keys(level: str, **keys: str | list[str]) -> Dataset:
    asked = Dataset()
    asked.QueryRetrieveLevel = level
    for name, value in keys.items():
        setattr(asked, name, value)
    return asked
