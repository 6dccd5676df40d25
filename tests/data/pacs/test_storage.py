"""What our end of a C-MOVE keeps of its connections."""

import threading
import time
from types import SimpleNamespace

import pytest
from pynetdicom import evt
from pynetdicom.events import Event

from medssl.data.pacs.storage import Wires


class Socket:
    """A connection that takes a while to say whether it is open."""

    def __init__(self):
        self.is_open = True

    def fileno(self):
        time.sleep(0.05)
        return 7 if self.is_open else -1

    def setsockopt(self, *option):
        pass

    def close(self):
        self.is_open = False


def opened(wires, connection):
    held = SimpleNamespace(socket=SimpleNamespace(socket=connection))
    wires.opened(Event(SimpleNamespace(dul=held), evt.EVT_CONN_OPEN, {}))


def test_of_connections_that_come_at_once_each_is_closed_in_the_end():
    wires, connections = Wires(), [Socket() for _ in range(5)]
    opened(wires, connections[0])
    threads = [threading.Thread(target=opened, args=(wires, one)) for one in connections[1:]]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    wires.close()
    assert not any(one.is_open for one in connections)


def test_one_that_cannot_be_told_to_send_at_once_is_closed_all_the_same():
    class Gone(Socket):
        def setsockopt(self, *option):
            msg = "no such connection"
            raise OSError(msg)

    wires, gone = Wires(), Gone()
    with pytest.raises(OSError, match="no such connection"):
        opened(wires, gone)
    wires.close()
    assert not gone.is_open
