"""Real PACS for tests, on free ports of loopback: Orthanc with DICOMweb, and DCMTK's dcmqrscp."""

import json
import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest
import requests

PLUGIN = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")
PATH = f"{os.environ.get('PATH', '')}:/usr/sbin"
USER, PASSWORD = "reader", "Kaxu-secret"
START_S = 60


def require(*programs):
    """Skip where a program is not installed, and fail where everything is to be tested."""
    missing = [name for name in programs if shutil.which(name, path=PATH) is None]
    missing += [] if PLUGIN.is_file() else [PLUGIN.name]
    if missing:
        reason = f"{missing} not found: apt-get install orthanc orthanc-dicomweb dcmtk"
        (pytest.fail if os.environ.get("CI") else pytest.skip)(reason)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Server:
    """A process that is started again after it was killed, on the same ports and data."""

    def __init__(self, folder):
        self.folder = Path(folder)
        self.folder.mkdir(parents=True)
        self.port, self.listen_port = free_port(), free_port()
        self.process = None

    def start(self):
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                self.command(), stdout=log, stderr=log, env=os.environ | {"PATH": PATH}
            )
        give_up = time.monotonic() + START_S
        while not self.answers():
            if self.process.poll() is not None or time.monotonic() > give_up:
                self.stop()
                pytest.fail(f"no server: {(self.folder / 'log').read_text()[-2000:]}")
            time.sleep(0.1)
        return self

    def answers(self):
        try:
            socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
        except OSError:
            return False
        return True

    def stop(self, number=signal.SIGTERM):
        if self.process is not None:
            self.process.send_signal(number)
            self.process.wait(timeout=START_S)
            self.process = None

    def kill(self):
        self.stop(signal.SIGKILL)

    def dimse(self, title, **changed):
        return {
            "dimse": {
                "host": "127.0.0.1",
                "port": self.port,
                "called_ae": title,
                "listen_port": self.listen_port,
                **changed,
            }
        }


class Orthanc(Server):
    """Lists MEDSSL, and STRANDED, which nobody is at; who speaks HTTP must log in."""

    def __init__(self, folder):
        super().__init__(folder)
        self.http_port = free_port()
        config = {
            "StorageDirectory": str(self.folder / "db"),
            "IndexDirectory": str(self.folder / "db"),
            "HttpPort": self.http_port,
            "DicomPort": self.port,
            "DicomAet": "ORTHANC",
            "DicomCheckCalledAet": True,
            "DicomAlwaysAllowFind": False,
            "DicomAlwaysAllowMove": False,
            "DicomModalities": {
                "medssl": ["MEDSSL", "127.0.0.1", self.listen_port],
                "stranded": ["STRANDED", "127.0.0.1", free_port()],
            },
            "MaximumStorageCacheSize": 0,  # what is lost on disk is lost
            "RemoteAccessAllowed": False,
            "AuthenticationEnabled": True,
            "RegisteredUsers": {USER: PASSWORD},
            "Plugins": [str(PLUGIN)],
            "DicomWeb": {"Enable": True},
        }
        (self.folder / "orthanc.json").write_text(json.dumps(config))

    @property
    def url(self):
        return f"http://127.0.0.1:{self.http_port}"

    def command(self):
        return ["Orthanc", str(self.folder / "orthanc.json")]

    def answers(self):
        try:
            requests.get(f"{self.url}/system", auth=(USER, PASSWORD), timeout=5).raise_for_status()
        except requests.RequestException:
            return False
        return super().answers()

    def upload(self, paths):
        with requests.Session() as session:
            session.auth = (USER, PASSWORD)
            for path in paths:
                answer = session.post(f"{self.url}/instances", data=path.read_bytes(), timeout=30)
                assert answer.json()["Status"] == "Success", path

    def reached(self, by, **changed):
        """Return the key of a config that says how to reach it."""
        if by == "dimse":
            return self.dimse("ORTHANC", **changed)
        web = {"url": f"{self.url}/dicom-web", "credentials": "MEDSSL_TEST_PACS"}
        return {"dicomweb": web | changed}


class Dcmqrscp(Server):
    """A PACS that matches fewer keys, and tells fewer, than Orthanc."""

    def __init__(self, folder):
        super().__init__(folder)
        self.storage = self.folder / "storage"
        self.storage.mkdir()
        (self.folder / "dcmqrscp.cfg").write_text(
            f"NetworkTCPPort = {self.port}\nMaxPDUSize = 16384\nMaxAssociations = 16\n"
            f"HostTable BEGIN\nmedssl = (MEDSSL, 127.0.0.1, {self.listen_port})\nHostTable END\n"
            "VendorTable BEGIN\nVendorTable END\n"
            f"AETable BEGIN\nDCMTK {self.storage} RW (200, 1024mb) ANY\nAETable END\n"
        )

    def command(self):
        return ["dcmqrscp", "-c", str(self.folder / "dcmqrscp.cfg")]

    def register(self, paths):
        copies = [self.storage / f"{n}.dcm" for n in range(len(paths))]
        for path, copy in zip(paths, copies, strict=True):
            shutil.copy(path, copy)
        subprocess.run(["dcmqridx", str(self.storage), *map(str, copies)], check=True)

    def reached(self):
        return self.dimse("DCMTK")
