"""A PACS in this process that misbehaves when told to, over real sockets on loopback."""

import json
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import pydicom
import pytest
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian
from pynetdicom import AE, build_context, evt

from medssl.data.pacs.dimse import FIND, MOVE, Peer
from medssl.data.pacs.storage import Wires

SURNAME = "Zephyrowska"
# Two series of one study and one of another, by study, series, instances.
HELD = {
    ("1.2.1", "1.2.1.1"): [f"1.2.1.1.{n}" for n in range(1, 6)],
    ("1.2.1", "1.2.1.2"): [f"1.2.1.2.{n}" for n in range(1, 4)],
    ("1.2.2", "1.2.2.1"): [f"1.2.2.1.{n}" for n in range(1, 3)],
}
SAID = {
    "1.2.1.1": {"Modality": "CT", "BodyPartExamined": "CHEST"},
    "1.2.1.2": {"Modality": "MR", "BodyPartExamined": "HEAD"},
    "1.2.2.1": {"Modality": "CT", "BodyPartExamined": ""},
}
DAYS = {"1.2.1": "20200131", "1.2.2": "20210630"}


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def instance(study, series, uid):
    found = pydicom.Dataset()
    found.file_meta = pydicom.dataset.FileMetaDataset()
    found.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    found.SOPClassUID, found.SOPInstanceUID = CTImageStorage, uid
    found.StudyInstanceUID, found.SeriesInstanceUID = study, series
    found.StudyDate, found.PatientName = DAYS[study], f"{SURNAME}^Q"
    for name, value in SAID[series].items():
        setattr(found, name, value)
    return found


def rows(level, within=()):
    """Return everything that is held at a level, below these studies or series."""
    for (study, series), uids in HELD.items():
        for uid in uids:
            found = instance(study, series, uid)
            if all(part in (study, series) for part in within):
                yield {"STUDY": study, "SERIES": series, "IMAGE": uid}[level], found


class Archive:
    """A PACS that matches no key but UIDs: what it says must be matched again.

    Args of `start`: `broken`, instances that end a move; `cut_after`, how many of a move are sent
    before the association is aborted; `is_deaf`, never answers a move; `knows_us`, else the
    destination is unknown; `is_early`, answers before it sends; `sends`, else it only says so.
    """

    held, surname = HELD, SURNAME

    def __init__(self):
        self.port, self.listen_port = free_port(), free_port()
        self.moves, self.sent = [], []
        self.broken, self.cut_after, self.is_deaf = set(), None, False
        self.knows_us, self.is_early, self.sends = True, False, True
        self.find_status = 0x0000
        self.deafness = threading.Event()
        self.entity = AE("ARCHIVE")
        self.entity.require_called_aet = True
        self.threads, self.wires = [], Wires()

    def start(self, models=(FIND, MOVE)):
        for model in models:
            self.entity.add_supported_context(model)
        handlers = [
            (evt.EVT_C_FIND, self.find),
            (evt.EVT_C_MOVE, self.move),
            (evt.EVT_CONN_OPEN, self.wires.opened),
        ]
        self.entity.start_server(("127.0.0.1", self.port), block=False, evt_handlers=handlers)
        return self

    def stop(self):
        self.deafness.set()
        for thread in self.threads:
            thread.join()
        self.entity.shutdown()
        self.wires.close()

    def peer(self, **changed):
        return Peer(
            **{
                "host": "127.0.0.1",
                "port": self.port,
                "called_ae": "ARCHIVE",
                "calling_ae": "MEDSSL",
                "listen_host": "127.0.0.1",
                "listen_port": self.listen_port,
                "timeout_s": 10.0,
            }
            | changed
        )

    def find(self, event):
        asked = event.identifier
        level = asked.QueryRetrieveLevel
        within = [asked[n].value for n in ("StudyInstanceUID", "SeriesInstanceUID") if asked.get(n)]
        for _, found in rows(level, within):  # a study once for each instance: PACS do that
            answer = pydicom.Dataset()
            for element in asked:
                if element.keyword != "QueryRetrieveLevel":
                    setattr(answer, element.keyword, found.get(element.keyword, ""))
            yield 0xFF00, answer
        if self.find_status:
            yield self.find_status, None

    def move(self, event):
        asked = event.identifier
        uids = asked.get("SOPInstanceUID")
        uids = [uids] if isinstance(uids, str) else list(uids or [])
        self.moves.append((asked.QueryRetrieveLevel, [str(uid) for uid in uids]))
        if self.is_deaf:
            self.deafness.wait(30)
            return
        if not self.knows_us:
            yield None, None
            return
        held = dict(rows("IMAGE", [asked.StudyInstanceUID, asked.SeriesInstanceUID]))
        chosen = [found for uid, found in held.items() if not uids or uid in uids]
        if self.is_early:
            if self.sends:
                self.threads.append(threading.Thread(target=self.send, args=(chosen,)))
                self.threads[-1].start()
            yield "127.0.0.1", self.listen_port
            yield 0
            return
        yield "127.0.0.1", self.listen_port, {"contexts": [build_context(CTImageStorage)]}
        yield len(chosen)
        for number, found in enumerate(chosen):
            if found.SOPInstanceUID in self.broken:
                yield 0xA702, None
                return
            if number == self.cut_after:
                event.assoc.abort()
                return
            self.sent.append(found.SOPInstanceUID)
            yield 0xFF00, found

    def send(self, chosen):
        entity = AE("ARCHIVE")
        entity.add_requested_context(CTImageStorage)
        line = entity.associate("127.0.0.1", self.listen_port, ae_title="MEDSSL")
        for found in chosen:
            line.send_c_store(found)
        line.release()


@pytest.fixture
def archive():
    made = Archive()
    yield made
    made.stop()


class Web(BaseHTTPRequestHandler):
    """DICOMweb of the same instances; `server.trouble` maps an instance to what goes wrong."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def do_GET(self):
        server, url = self.server, urlsplit(self.path)
        server.requests.append((url.path, dict(self.headers)))
        if server.authorization not in (None, self.headers.get("Authorization")):
            return self.answer(401, b"no")
        parts = url.path.strip("/").split("/")
        if parts[0] != "dicom-web":
            return self.answer(404, b"nothing here")
        uids = parts[2::2]
        if len(uids) == 3:
            return self.retrieve(*uids)
        level = ("STUDY", "SERIES", "IMAGE")[len(uids)]
        found = list(dict(rows(level, uids)).values())
        options = parse_qs(url.query)
        start = 0 if server.ignores_offset else int(options.get("offset", ["0"])[0])
        page = [self.said(one, level) for one in found[start : start + server.page]]
        return self.answer(200, json.dumps(page).encode(), "application/dicom+json")

    @staticmethod
    def said(found, level):
        names = {"STUDY": ["StudyDate"], "SERIES": ["Modality", "BodyPartExamined"], "IMAGE": []}
        kept = pydicom.Dataset()
        for name in ["StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", *names[level]]:
            setattr(kept, name, found.get(name))
        return kept.to_json_dict()

    def retrieve(self, study, series, uid):
        trouble = self.server.trouble.get(uid)
        if isinstance(trouble, int):
            return self.answer(trouble, b"trouble with " + SURNAME.encode())
        content = b"\0" * 128 + b"DICM" + uid.encode() + b"\r\n--not the end\r\n" * 3
        body = b"--b0\r\nContent-Type: application/dicom\r\n\r\n" + content + b"\r\n--b0--\r\n"
        if trouble == "no end":
            body = body[:-8]
        if trouble == "no dicom":
            body = body.replace(b"DICM", b"HTML")
        kind = 'multipart/related; type="application/dicom"; boundary=b0'
        if trouble == "bare":
            body, kind = content, "application/dicom"
        if trouble == "cut":
            self.answer(200, body[: len(body) // 2], kind, length=len(body))
            self.close_connection = True
            return None
        return self.answer(200, body, kind)

    def answer(self, code, body, kind="text/plain", length=None):
        self.send_response(code)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture
def web():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Web)
    server.held, server.surname = HELD, SURNAME
    server.requests, server.trouble, server.authorization = [], {}, None
    server.page, server.ignores_offset = 100, False
    server.url = f"http://127.0.0.1:{server.server_port}/dicom-web"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()
