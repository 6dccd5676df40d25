"""Our end of a C-MOVE: a storage SCP that takes what was asked for, byte for byte, and no more.

Source: DICOM PS3.4 2024, B (storage), C.4.2 (C-MOVE).
"""

import queue
import socket
import threading
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any

from pynetdicom import AE, _config, evt
from pynetdicom.events import Event

from medssl.data.pacs.received import Received
from medssl.errors import DataError

SUCCESS, OUT_OF_RESOURCES, NOT_AUTHORIZED = 0x0000, 0xA700, 0x0124


class Inbox:
    """Instances as they arrive on the threads of the server, for the one thread that asks."""

    def __init__(self) -> None:
        self._received: Received | None = None
        self._expected: frozenset[str] = frozenset()
        self._arrived: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._fault: DataError | None = None
        self.heard_s = time.monotonic()
        self.has_any = False

    def expect(self, uids: Collection[str], received: Received) -> None:
        """Take these from now on, and turn away what else comes."""
        self._expected, self._received = frozenset(uids), received

    def arrivals(self, wait_s: float = 0) -> Iterator[str]:
        """Yield what arrived since, until nothing comes for so long.

        Raises:
            DataError: If the disk did not take one.
        """
        while True:
            if self._fault is not None:
                raise self._fault
            try:
                yield self._arrived.get(timeout=wait_s) if wait_s else self._arrived.get_nowait()
            except queue.Empty:
                return

    def store(self, event: Event) -> int:
        """Answer a C-STORE request."""
        self.heard_s = time.monotonic()
        uid = str(getattr(event.request, "AffectedSOPInstanceUID", ""))
        if self._received is None or uid not in self._expected:
            return NOT_AUTHORIZED
        try:
            self._received.write(uid, event.encoded_dataset())
        except DataError as error:
            self._fault = error
            return OUT_OF_RESOURCES
        self.has_any = True
        self._arrived.put(uid)
        return SUCCESS


class Wires:
    """The connections of associations: pynetdicom leaves some open that the other end closed."""

    def __init__(self) -> None:
        self._open: list[socket.socket] = []
        self._lock = threading.Lock()  # a server takes each connection on a thread of its own

    def opened(self, event: Event) -> None:
        """Keep a new one, and have it send at once.

        Else the second part of a query waits for word of the first, which takes 40 ms.
        """
        wire = event.assoc.dul.socket
        if wire is not None and wire.socket is not None:
            with self._lock:
                self._open = [one for one in self._open if one.fileno() != -1] + [wire.socket]
            wire.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def close(self) -> None:
        """Close those that are still open."""
        with self._lock:
            for wire in self._open:
                wire.close()


@contextmanager
def listening(inbox: Inbox, title: str, host: str, port: int, timeout_s: float) -> Iterator[None]:
    """Run a server that accepts every storage class, private ones too, in any transfer syntax.

    Raises:
        DataError: If it cannot listen there.
    """
    server = AE(title)
    server.maximum_pdu_size = 0  # as large as the PACS likes
    server.network_timeout = timeout_s
    unrestricted, _config.UNRESTRICTED_STORAGE_SERVICE = _config.UNRESTRICTED_STORAGE_SERVICE, True
    wires = Wires()
    handlers: list[Any] = [(evt.EVT_C_STORE, inbox.store), (evt.EVT_CONN_OPEN, wires.opened)]
    try:
        server.start_server((host, port), block=False, evt_handlers=handlers)
    except OSError as error:
        _config.UNRESTRICTED_STORAGE_SERVICE = unrestricted
        msg = (
            f"{host}:{port}: cannot listen here for what the PACS sends ({error.strerror}); set "
            "listen_host and listen_port to an address of this machine and a port that is free"
        )
        raise DataError(msg) from error
    try:
        yield
    finally:
        server.shutdown()
        wires.close()
        _config.UNRESTRICTED_STORAGE_SERVICE = unrestricted
