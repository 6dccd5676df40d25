"""The stage `index` on what a PACS has: against an Orthanc that the test starts on loopback."""

import base64
import json
import os
import runpy
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pydicom
import pytest
import requests
import yaml
from pydicom.uid import JPEGLSLossless, RLELossless

from medssl.data.manifest import read_manifest
from pipelines.__main__ import main

pytestmark = [pytest.mark.long, pytest.mark.orthanc]
PLUGINS = "/usr/share/orthanc/plugins"
USER, PASSWORD = "reader", "quite secret"


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


class Orthanc:
    """An Orthanc with a storage of its own, started and killed at will."""

    def __init__(self, folder, **config):
        self.folder, self.http, self.dicom, self.ours = (
            folder,
            free_port(),
            free_port(),
            free_port(),
        )
        folder.mkdir()
        (folder / "orthanc.json").write_text(
            json.dumps(
                {
                    "StorageDirectory": str(folder / "storage"),
                    "IndexDirectory": str(folder / "storage"),
                    "HttpPort": self.http,
                    "DicomPort": self.dicom,
                    "DicomAet": "ORTHANC",
                    "DicomCheckCalledAet": True,
                    "DicomModalities": {"us": ["MEDSSL", "127.0.0.1", self.ours]},
                    "RemoteAccessAllowed": False,
                    "AuthenticationEnabled": True,
                    "RegisteredUsers": {USER: PASSWORD},
                    "Plugins": [PLUGINS],
                    "DicomWeb": {"Enable": True, "Root": "/dicom-web/"},
                    **config,
                }
            )
        )
        self.start()

    def start(self):
        self.log = (self.folder / "log").open("a")
        command = ["Orthanc", str(self.folder / "orthanc.json")]
        self.process = subprocess.Popen(command, stdout=self.log, stderr=self.log)
        self.session = requests.Session()
        self.session.auth, self.session.trust_env = (USER, PASSWORD), False
        while not self.answers():
            assert self.process.poll() is None, (self.folder / "log").read_text()
            time.sleep(0.1)

    def answers(self):
        try:
            return self.session.get(f"http://127.0.0.1:{self.http}/system").ok
        except requests.RequestException:
            return False

    def stop(self, number=signal.SIGTERM):
        self.process.send_signal(number)
        self.process.wait(30)
        self.session.close()
        self.log.close()

    def put(self, paths):
        for path in paths:
            url = f"http://127.0.0.1:{self.http}/instances"
            self.session.post(url, data=Path(path).read_bytes()).raise_for_status()

    def remove(self, series_uid):
        url = f"http://127.0.0.1:{self.http}"
        (found,) = self.session.post(f"{url}/tools/lookup", data=series_uid).json()
        self.session.delete(f"{url}{found['Path']}").raise_for_status()

    def dimse(self, **query):
        reached = {
            "host": "127.0.0.1", "port": self.dicom, "called_ae": "ORTHANC",
            "listen_port": self.ours, "timeout_s": 20,
        }  # fmt: skip
        return {"pacs": {"dimse": reached, "query": query}}

    def dicomweb(self, **query):
        url = f"http://127.0.0.1:{self.http}/dicom-web"
        reached = {"url": url, "authorization": "ORTHANC_AUTHORIZATION", "timeout_s": 20}
        return {"pacs": {"dicomweb": reached, "query": query}}


@pytest.fixture(autouse=True)
def _installed(monkeypatch):
    if shutil.which("Orthanc") is None:
        if os.environ.get("CI"):
            pytest.fail("Orthanc must be there: apt-get install orthanc orthanc-dicomweb")
        pytest.skip("Orthanc is not installed")
    token = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
    monkeypatch.setenv("ORTHANC_AUTHORIZATION", f"Basic {token}")


@pytest.fixture(scope="module")
def dicom():
    return SimpleNamespace(**runpy.run_path(str(Path(__file__).parents[1] / "dicom_series.py")))


@pytest.fixture(scope="module")
def images(tmp_path_factory, dicom):
    """Files of four series: two of CT, of which one compressed, and two of MR."""
    root = tmp_path_factory.mktemp("images")
    rng = np.random.default_rng(0)
    made = {
        "ct": {"Modality": "CT", "StudyDate": "20200131", "BodyPartExamined": "CHEST"},
        "rle": {"Modality": "CT", "StudyDate": "20200201", "BodyPartExamined": "HEAD"},
        "mr": {"Modality": "MR", "StudyDate": "20210105", "BodyPartExamined": "HEAD"},
        "jls": {"Modality": "MR", "StudyDate": "20220106"},
    }
    for number, (name, tags) in enumerate(made.items()):
        voxels = rng.integers(0, 900, (64, 48, 60)).astype(np.int16)
        uids = {
            "PatientID": f"P-{number}",
            "StudyInstanceUID": f"1.2.7.{number}",
            "SeriesInstanceUID": f"1.2.8.{number}",
        }
        paths = dicom.write(root / name, voxels, dicom.AFFINE, **tags, **uids)
        syntax = {"rle": RLELossless, "jls": JPEGLSLossless}.get(name)
        for path in paths if syntax else []:
            found = pydicom.dcmread(path)
            found.compress(syntax, generate_instance_uid=False)
            found.save_as(path)
    return root


@pytest.fixture(scope="module")
def orthanc(tmp_path_factory, images):
    """An Orthanc that has them all; who stops it starts it again."""
    server = Orthanc(tmp_path_factory.mktemp("pacs") / "orthanc")
    try:
        server.put(sorted(images.rglob("*.dcm")))
        yield server
    finally:
        if server.process.poll() is None:
            server.stop()


def config(tmp_path, source, output="out"):
    path = tmp_path / f"{output}.yaml"
    path.write_text(yaml.safe_dump({"sources": [source], "output": str(tmp_path / output)}))
    return path


def index(tmp_path, source, output="out"):
    assert main(["index", str(config(tmp_path, source, output))]) == 0
    return read_manifest(tmp_path / output / "manifest.parquet")


def received(folder):
    """The instances in the private folder, by UID; each is there once."""
    paths = list((folder / "private" / "received").rglob("*.dcm"))
    found = {pydicom.dcmread(path).SOPInstanceUID: path for path in paths}
    assert len(found) == len(paths)
    return found


@pytest.mark.parametrize("way", ["dimse", "dicomweb"])
def test_what_is_received_is_what_was_stored(tmp_path, orthanc, images, way):
    cases = index(tmp_path, getattr(orthanc, way)())
    folder = index(tmp_path, {"root": str(images)}, "folder")
    assert sorted(case.digest for case in cases) == sorted(case.digest for case in folder)
    assert len(cases) == 4
    got = received(tmp_path / "out")
    stored = {pydicom.dcmread(path).SOPInstanceUID: path for path in images.rglob("*.dcm")}
    assert got.keys() == stored.keys()
    for uid, path in got.items():
        ours, theirs = pydicom.dcmread(path), pydicom.dcmread(stored[uid])
        assert ours.file_meta.TransferSyntaxUID == theirs.file_meta.TransferSyntaxUID
        assert ours.PixelData == theirs.PixelData
        assert (path.parent.stat().st_mode & 0o077) == 0


@pytest.mark.parametrize("way", ["dimse", "dicomweb"])
@pytest.mark.parametrize(
    ("query", "names"),
    [
        ({"modalities": ["CT"]}, {"ct", "rle"}),
        ({"modalities": ["CT", "MR"], "body_parts": ["head"]}, {"rle", "mr"}),
        ({"first_day": "2020-02-01", "last_day": "2021-12-31"}, {"rle", "mr"}),
        ({"last_day": "2020-01-31"}, {"ct"}),
    ],
)
def test_a_query_narrows(tmp_path, orthanc, images, way, query, names):
    cases = index(tmp_path, getattr(orthanc, way)(**query))
    wanted = {
        pydicom.dcmread(p).SOPInstanceUID for name in names for p in (images / name).iterdir()
    }
    assert received(tmp_path / "out").keys() == wanted
    assert len(cases) == len(names)


@pytest.mark.parametrize("way", ["dimse", "dicomweb"])
def test_nothing_comes_twice_and_what_is_new_comes_alone(tmp_path, orthanc, images, dicom, way):
    source = getattr(orthanc, way)()
    index(tmp_path, source)
    dates = {path: path.stat().st_mtime_ns for path in received(tmp_path / "out").values()}
    new = dicom.write(tmp_path / "new", SeriesInstanceUID="1.2.9", PatientID="P-9")
    orthanc.put(new)
    try:
        assert len(index(tmp_path, source)) == 5
    finally:
        orthanc.remove("1.2.9")
    paths = received(tmp_path / "out").values()
    assert len(paths) == len(dates) + len(new)
    assert {path: path.stat().st_mtime_ns for path in dates} == dates


def partly(tmp_path, source, run):
    """Wait until some instances have come."""
    folder = tmp_path / "out" / "private" / "received"
    while len(list(folder.rglob("*.dcm"))) < 70:
        assert run.poll() is None
        time.sleep(0.002)


@pytest.mark.parametrize("way", ["dimse", "dicomweb"])
@pytest.mark.parametrize("who", ["us", "the PACS"])
def test_a_transfer_that_is_cut_loses_and_duplicates_nothing(tmp_path, orthanc, images, way, who):
    source = getattr(orthanc, way)()
    command = [sys.executable, "-m", "pipelines", "index", str(config(tmp_path, source))]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as run:
        partly(tmp_path, source, run)
        if who == "us":
            run.send_signal(signal.SIGKILL)
            run.wait(30)
        else:
            orthanc.stop(signal.SIGKILL)
            assert run.wait(60) == 2
            (line,) = run.stderr.read().splitlines()
            assert "run this again to go on" in line.lower()
            orthanc.start()
    some = len(list((tmp_path / "out" / "private" / "received").rglob("*.dcm")))
    assert 70 <= some < 240
    cases = index(tmp_path, source)
    assert len(received(tmp_path / "out")) == 240
    digests = sorted(case.digest for case in index(tmp_path, {"root": str(images)}, "folder"))
    assert sorted(case.digest for case in cases) == digests


def refusal(tmp_path, source, capsys):
    capsys.readouterr()
    assert main(["index", str(config(tmp_path, source))]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    return line


def test_who_refuses_is_named_with_what_to_do(tmp_path, orthanc, capsys, monkeypatch):
    source = orthanc.dimse()
    source["pacs"]["dimse"]["calling_ae"] = "STRANGER"
    line = refusal(tmp_path, source, capsys)
    assert "does it list STRANGER as a caller" in line
    assert "DicomModalities" in line
    monkeypatch.setenv("ORTHANC_AUTHORIZATION", "Basic bm9ib2R5Og==")
    assert "answers 401; it wants credentials" in refusal(tmp_path, orthanc.dicomweb(), capsys)
    monkeypatch.delenv("ORTHANC_AUTHORIZATION")
    line = refusal(tmp_path, orthanc.dicomweb(), capsys)
    assert "there is no environment variable ORTHANC_AUTHORIZATION" in line


@pytest.mark.parametrize("way", ["dimse", "dicomweb"])
def test_a_query_that_finds_nothing_is_an_error(tmp_path, orthanc, capsys, way):
    line = refusal(tmp_path, getattr(orthanc, way)(modalities=["PT"]), capsys)
    assert "it has no series that the query takes" in line


def test_nobody_at_the_address_is_one_line(tmp_path, orthanc, capsys):
    orthanc.stop()
    try:
        assert "nobody answers there" in refusal(tmp_path, orthanc.dimse(), capsys)
        assert "nobody answers there" in refusal(tmp_path, orthanc.dicomweb(), capsys)
    finally:
        orthanc.start()


def test_a_port_that_is_taken_is_named(tmp_path, orthanc, capsys):
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("127.0.0.1", orthanc.ours))
        taken.listen()
        line = refusal(tmp_path, orthanc.dimse(), capsys)
    assert f"cannot listen at 127.0.0.1:{orthanc.ours}" in line
