"""A PACS by DICOM's own messages: C-FIND, and C-MOVE to a storage SCP of ours.

Source: DICOM PS3.4 2024, C.4.1 (C-FIND), C.4.2 (C-MOVE); PS3.8, 9.3.4 (rejection).
"""

import socket
import threading
import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pydicom
from pydicom.uid import UID
from pynetdicom import AE, evt
from pynetdicom.association import Association
from pynetdicom.status import (
    QR_FIND_SERVICE_CLASS_STATUS,
    QR_MOVE_SERVICE_CLASS_STATUS,
    STATUS_PENDING,
    code_to_category,
)

from medssl.data.dicom.elements import text
from medssl.data.pacs import Level, Outcome, Series
from medssl.data.pacs.quiet import quiet_network
from medssl.data.pacs.received import Received
from medssl.data.pacs.storage import Inbox, Wires, listening
from medssl.errors import DataError

# Study Root Query/Retrieve Information Model.
FIND, MOVE = UID("1.2.840.10008.5.1.4.1.2.2.1"), UID("1.2.840.10008.5.1.4.1.2.2.2")
AT_ONCE = 100  # instances in one C-MOVE: a list of UIDs has at most 65,534 bytes
LINGER_S = 3.0  # some PACS answer before they have sent
DESTINATION_UNKNOWN = 0xA801
# Moves in a row that bring nothing until a series is left: while nothing came yet, and after.
PATIENCE_AT_FIRST, PATIENCE = 3, 10


@dataclass(frozen=True, kw_only=True)
class Peer:
    """Who talks to whom.

    Args:
        host: Of the PACS.
        port: Of the PACS.
        called_ae: The title of the PACS.
        calling_ae: Our title, by which the PACS knows where to send.
        listen_host: The address of this machine that takes what is sent.
        listen_port: Its port.
        timeout_s: How long the PACS may neither answer nor send.
    """

    host: str
    port: int
    called_ae: str
    calling_ae: str
    listen_host: str
    listen_port: int
    timeout_s: float


@contextmanager
def open_dimse(peer: Peer) -> Iterator["Dimse"]:
    """Listen for what the PACS will send, and hang up at the end."""
    inbox = Inbox()
    here = (peer.calling_ae, peer.listen_host, peer.listen_port)
    with quiet_network(), listening(inbox, *here, peer.timeout_s):
        pacs = Dimse(peer, inbox)
        try:
            yield pacs
        finally:
            pacs.hang_up()


class Dimse:
    """A PACS that sends to an inbox.

    Args:
        peer: Who talks to whom.
        inbox: Where what it sends arrives.
    """

    def __init__(self, peer: Peer, inbox: Inbox) -> None:
        self._peer, self._inbox = peer, inbox
        self._entity = AE(peer.calling_ae)
        self._entity.connection_timeout = self._entity.acse_timeout = peer.timeout_s
        # Silence is measured over answers and instances together, in _patiently.
        self._entity.dimse_timeout = self._entity.network_timeout = None
        for model in (FIND, MOVE):
            self._entity.add_requested_context(model)
        self._line: Association | None = None
        self._wires = Wires()
        self._is_idle = True

    @property
    def address(self) -> str:
        """Its title, host and port."""
        return f"{self._peer.called_ae} at {self._peer.host}:{self._peer.port}"

    def search(self, level: Level, keys: Mapping[str, str]) -> list[dict[str, str]]:
        """Return what there is at a level, each with the values of all keys."""
        found = []
        line, what = self._connected(), f"a query at {level} level"
        with self._patiently(line):
            for status, answer in line.send_c_find(_identifier(level, keys), FIND):
                code = self._code(status, what)
                if answer is not None and code_to_category(code) == STATUS_PENDING:
                    found.append({name: text(answer.get(name)) for name in keys})
        if code != 0:
            msg = (
                f"{self.address} did not answer {what} in full: "
                f"{_said(code, QR_FIND_SERVICE_CLASS_STATUS)}; ask for less"
            )
            raise DataError(msg)
        return found

    def retrieve(
        self, series: Series, missing: Sequence[str], received: Received
    ) -> Iterator[Outcome]:
        """Have these instances sent here; yield one outcome for each.

        A PACS may end a move at the first instance that it cannot send: those after it are asked
        for one by one.
        """
        self._inbox.expect(missing, received)
        left = dict.fromkeys(missing, "not asked for, as none came of those before")
        fruitless = 0
        for asked in _requests(series, left):
            if fruitless == (PATIENCE if self._inbox.has_any else PATIENCE_AT_FIRST):
                break
            before = len(left)
            why = yield from self._move(series, asked, left)
            left.update(dict.fromkeys([uid for uid in asked or left if uid in left], why))
            fruitless = fruitless + 1 if len(left) == before else 0
        yield from (Outcome(uid, why) for uid, why in left.items())

    def hang_up(self) -> None:
        """End the association, if there is one; within an answer the PACS would not listen."""
        if self._line is not None and self._line.is_established:
            if self._is_idle:
                self._line.release()
            else:
                self._line.abort()
        self._wires.close()

    def _move(
        self, series: Series, asked: Sequence[str], left: dict[str, str]
    ) -> Generator[Outcome, None, str]:
        """Ask for instances, or with none named for the series; strike out and yield what comes.

        Returns the reason why others did not.
        """
        level: Level = "IMAGE" if asked else "SERIES"
        keys = {"StudyInstanceUID": series.study_uid, "SeriesInstanceUID": series.series_uid}
        identifier = _identifier(level, keys | ({"SOPInstanceUID": list(asked)} if asked else {}))
        line = self._connected()
        with self._patiently(line):
            for status, _ in line.send_c_move(identifier, self._peer.calling_ae, MOVE):
                yield from self._arrived(left, 0)
                code = self._code(status, "a transfer")
        if code == 0 and any(uid in left for uid in asked or list(left)):
            yield from self._arrived(left, LINGER_S)
        here = f"{self._peer.listen_host}:{self._peer.listen_port}"
        hint = (
            f"; does the PACS know {self._peer.calling_ae} (Orthanc: DicomModalities), and reach "
            f"it at {here}?"
        )
        said = "said to be sent" if code == 0 else _said(code, QR_MOVE_SERVICE_CLASS_STATUS)
        return said + ("" if self._inbox.has_any else hint)

    def _arrived(self, left: dict[str, str], wait_s: float) -> Iterator[Outcome]:
        for uid in self._inbox.arrivals(wait_s):
            if left.pop(uid, None) is not None:
                yield Outcome(uid)
            if not left:
                return

    def _connected(self) -> Association:
        """Return the association, a new one if there is none any more."""
        if self._line is not None and self._line.is_established:
            return self._line
        peer = self._peer
        try:
            # pynetdicom does not say why it was not connected.
            socket.create_connection((peer.host, peer.port), timeout=peer.timeout_s).close()
            line = self._entity.associate(
                peer.host,
                peer.port,
                ae_title=peer.called_ae,
                evt_handlers=[(evt.EVT_CONN_OPEN, self._wires.opened)],
            )
        except OSError as error:
            why = error.strerror or type(error).__name__
            msg = f"{self.address} cannot be reached ({why}); check host and port, and that it runs"
            raise DataError(msg) from error
        offered = {context.abstract_syntax for context in line.accepted_contexts}
        if line.is_established and offered >= {FIND, MOVE}:
            self._line = line
            return line
        if line.is_established:
            line.release()
        raise DataError(self._why_not(line))

    def _why_not(self, line: Association) -> str:
        """Return why an association was not made, or does not serve."""
        title, known = self._peer.calling_ae, "(Orthanc: DicomModalities)"
        if line.is_rejected and line.acceptor.primitive is not None:
            return (
                f"{self.address} refuses the association: {line.acceptor.primitive.reason_str}; "
                f"called_ae must be its title, and it must know {title} {known}"
            )
        if line.accepted_contexts:
            return (
                f"{self.address} does not offer {title} C-FIND and C-MOVE by Study Root; it must "
                f"allow both {known}"
            )
        return f"{self.address} does not answer as a PACS; check host, port and {title}'s rights"

    def _code(self, status: pydicom.Dataset, what: str) -> int:
        """Return the status of an answer.

        Raises:
            DataError: If it is none, since the association has ended, or says that the
                destination is unknown.
        """
        self._inbox.heard_s = time.monotonic()
        code = status.get("Status")
        title = self._peer.calling_ae
        if code is None:
            msg = (
                f"{self.address} ended the association, or said nothing for "
                f"{self._peer.timeout_s:g} s, during {what}; see that it runs and knows {title} "
                "(Orthanc: DicomModalities); the same command goes on from here"
            )
            raise DataError(msg)
        if code == DESTINATION_UNKNOWN:
            msg = (
                f"{self.address} does not know or not reach the move destination {title}: list it "
                f"there (Orthanc: DicomModalities) at {self._peer.listen_host}:"
                f"{self._peer.listen_port}"
            )
            raise DataError(msg)
        return int(code)

    @contextmanager
    def _patiently(self, line: Association) -> Iterator[None]:
        """Abort the association once the PACS has neither answered nor sent for too long."""
        self._inbox.heard_s, self._is_idle = time.monotonic(), False
        done = threading.Event()

        def watch() -> None:
            while not done.wait(min(1.0, self._peer.timeout_s / 4)):
                if time.monotonic() - self._inbox.heard_s > self._peer.timeout_s:
                    line.abort()
                    line.dimse.msg_queue.put((None, None))  # or who waits for an answer waits on
                    return

        watcher = threading.Thread(target=watch, daemon=True)
        watcher.start()
        try:
            yield
            self._is_idle = True
        finally:
            done.set()
            watcher.join()


def _requests(series: Series, left: Mapping[str, str]) -> Iterator[tuple[str, ...]]:
    """Yield what to ask for: the series or parts of it, then what is still left one by one."""
    if len(left) == len(series.instances):
        yield ()
    else:
        missing = list(left)
        for start in range(0, len(missing), AT_ONCE):
            yield tuple(missing[start : start + AT_ONCE])
    for uid in list(left):
        yield (uid,)


def _identifier(level: Level, keys: Mapping[str, Any]) -> pydicom.Dataset:
    found = pydicom.Dataset()
    found.QueryRetrieveLevel = level
    for name, value in keys.items():
        setattr(found, name, value)
    return found


def _said(code: int, meanings: Mapping[int, tuple[str, str]]) -> str:
    _, meaning = meanings.get(code, ("", ""))
    return f"status {code:04X} ({meaning or 'unknown'})"
