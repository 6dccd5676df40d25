"""The stage `index` on real PACS: Orthanc by both protocols, and DCMTK's dcmqrscp."""

import os
import runpy
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow.parquet as pq
import pydicom
import pytest
import yaml
from pydicom.uid import CTImageStorage, MRImageStorage, generate_uid

from medssl.data.manifest import read_manifest
from pipelines.__main__ import main

pytestmark = pytest.mark.long
TESTS = Path(__file__).parents[1]
SURNAME = "Zephyrowska"
BOTH = pytest.mark.parametrize("by", ["dimse", "dicomweb"])
NUM_MANY = 300
# Study, day, series, modality, body part, shape.
HELD = [
    ("1.2.1", "20200110", "1.2.1.1", "CT", "CHEST", (6, 5, 9)),
    ("1.2.1", "20200110", "1.2.1.2", "CT", "HEAD", (6, 5, 7)),
    ("1.2.2", "20210630", "1.2.2.1", "MR", "HEAD", (6, 5, 8)),
    ("1.2.3", "20220228", "1.2.3.1", "CT", "CHEST", (6, 5, 6)),
    ("1.2.6", "20220401", "1.2.6.1", "NM", "HEART", (6, 5, 5)),
    ("1.2.4", "20230101", "1.2.4.1", "PT", "WHOLEBODY", (180, 180, NUM_MANY)),
]


@pytest.fixture(scope="module")
def servers():
    return SimpleNamespace(**runpy.run_path(str(TESTS / "pacs_servers.py")))


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    """A folder for each series that the PACS hold, and the key of all pseudonyms."""
    dicom = SimpleNamespace(**runpy.run_path(str(TESTS / "dicom_series.py")))
    root = tmp_path_factory.mktemp("archive")
    for number, (study, day, series, modality, part, shape) in enumerate(HELD):
        voxels = np.random.default_rng(number).integers(0, 999, shape, np.int16)
        dicom.write(
            root / series,
            voxels,
            StudyInstanceUID=study,
            SeriesInstanceUID=series,
            StudyDate=day,
            Modality=modality,
            SOPClassUID=MRImageStorage if modality == "MR" else CTImageStorage,
            BodyPartExamined=part,
            PatientID=f"{SURNAME}-{study}",
            PatientName=f"{SURNAME}^Q",
            AccessionNumber=SURNAME,
        )
    (root / "key").write_bytes(b"some secret of 16 bytes")
    (root / "key").chmod(0o600)
    return root


@pytest.fixture(scope="module")
def orthanc(servers, archive, tmp_path_factory):
    servers.require("Orthanc")
    server = servers.Orthanc(tmp_path_factory.mktemp("pacs") / "orthanc").start()
    server.upload(sorted(archive.glob("*/*.dcm")))
    os.environ["MEDSSL_TEST_PACS"] = f"{servers.USER}:{servers.PASSWORD}"
    yield server
    server.stop()
    del os.environ["MEDSSL_TEST_PACS"]


def config(folder, archive, *sources):
    """Write the config of an index and return its path."""
    folder.mkdir(exist_ok=True)
    tree = {"sources": list(sources), "output": str(folder / "out"), "key": str(archive / "key")}
    (folder / "index.yaml").write_text(yaml.safe_dump(tree))
    return folder / "index.yaml"


def pacs(reached, query, **more):
    return {"pacs": {**reached, "query": query, **more}}


def indexed(folder, archive, *sources, status=0):
    assert main(["index", str(config(folder, archive, *sources))]) == status
    return None if status else result(folder)


def result(folder):
    """Return the cases by id, and how often which verdict was given."""
    cases = {case.case_id: case for case in read_manifest(folder / "out" / "manifest.parquet")}
    verdicts = pq.read_table(folder / "out" / "verdicts.parquet").to_pylist()
    return cases, sorted((row["case_id"] or "", row["code"]) for row in verdicts)


def expected(folder, archive, *series):
    """Index the same files from their folders."""
    return indexed(folder, archive, *({"root": str(archive / uid)} for uid in series))


def files_of(folder, number=0):
    return sorted((folder / "out" / "private" / "received" / str(number) / "files").glob("*/*"))


QUERIES = {
    "modality": ({"modality": "MR"}, ["1.2.2.1"]),
    "dates": ({"dates": {"first": "2020-01-10", "last": "2021-06-30"}}, [h[2] for h in HELD[:3]]),
    "open_end": ({"modality": "CT", "dates": {"first": "2020-01-11"}}, ["1.2.3.1"]),
    "body_part": ({"modality": "CT", "body_part": "CHEST"}, ["1.2.1.1", "1.2.3.1"]),
}


@BOTH
@pytest.mark.parametrize("name", QUERIES)
def test_a_query_gives_the_index_of_the_same_files_in_a_folder(
    tmp_path, archive, orthanc, by, name
):
    query, series = QUERIES[name]
    found = indexed(tmp_path / "a", archive, pacs(orthanc.reached(by), query))
    assert found == expected(tmp_path / "b", archive, *series)
    assert len(found[0]) == len(series)


def test_several_pacs_and_folders_are_sources_of_one_index(tmp_path, archive, orthanc):
    sources = [
        pacs(orthanc.reached("dimse"), {"modality": "MR"}),
        {"root": str(archive / "1.2.1.2")},
        pacs(orthanc.reached("dicomweb"), {"dates": {"first": "2022-01-01", "last": "2022-03-31"}}),
    ]
    found = indexed(tmp_path / "a", archive, *sources)
    assert found == expected(tmp_path / "b", archive, "1.2.2.1", "1.2.1.2", "1.2.3.1")


def test_dcmtks_pacs_gives_the_same_index(tmp_path, archive, servers):
    servers.require("dcmqrscp", "dcmqridx")
    server = servers.Dcmqrscp(tmp_path / "dcmtk")
    server.register([path for held in HELD[:4] for path in sorted(archive.glob(f"{held[2]}/*"))])
    server.start()
    try:
        query = {"modality": "CT", "dates": {"last": "2020-12-31"}}
        found = indexed(tmp_path / "a", archive, pacs(server.reached(), query))
    finally:
        server.stop()
    assert found == expected(tmp_path / "b", archive, "1.2.1.1", "1.2.1.2")


@BOTH
def test_a_query_that_becomes_another_keeps_what_both_ask_for(
    tmp_path, archive, orthanc, by, capfd
):
    wide, narrow = {"modality": "CT"}, {"modality": "CT", "body_part": "HEAD"}
    reached = orthanc.reached(by)
    for query, said in [(wide, "22 of them new"), (narrow, "0 of"), (wide, "0 of them new")]:
        found = indexed(tmp_path / "a", archive, pacs(reached, query))
        assert said in capfd.readouterr().out
        if query is narrow:
            assert found == expected(tmp_path / "b", archive, "1.2.1.2")
            capfd.readouterr()
    assert found == expected(tmp_path / "c", archive, "1.2.1.1", "1.2.1.2", "1.2.3.1")


def begun(folder, archive, source, number):
    """Start an index in a process of its own; return it once so many instances have arrived."""
    path = config(folder, archive, source)
    process = subprocess.Popen(
        [sys.executable, "-m", "pipelines", "index", str(path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    while len(files_of(folder)) < number:
        assert process.poll() is None, process.communicate()
        time.sleep(0.002)
    return process


MANY, KEEP = {"modality": "PT"}, {"incomplete": "keep"}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, archive):
    return expected(tmp_path_factory.mktemp("undisturbed"), archive, "1.2.4.1")


@BOTH
def test_an_index_that_was_killed_in_mid_transfer_ends_like_one_that_was_not(
    tmp_path, archive, orthanc, undisturbed, by, capfd
):
    source = pacs(orthanc.reached(by), MANY)
    process = begun(tmp_path, archive, source, 40)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    before = {path: path.stat().st_mtime_ns for path in files_of(tmp_path)}
    assert 40 <= len(before) < NUM_MANY
    found = indexed(tmp_path, archive, source)
    assert f"{NUM_MANY} instances, {NUM_MANY - len(before)} of them new" in capfd.readouterr().out
    assert len(files_of(tmp_path)) == NUM_MANY
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert found == undisturbed


@BOTH
def test_a_pacs_that_was_killed_in_mid_transfer_costs_one_line_and_nothing_else(
    tmp_path, archive, orthanc, undisturbed, by
):
    source = pacs(orthanc.reached(by), MANY)
    process = begun(tmp_path, archive, source, 40)
    orthanc.kill()
    try:
        _, error = process.communicate(timeout=120)
    finally:
        orthanc.start()
    assert process.returncode == 2
    assert error.startswith("medssl: ")
    assert len(error.splitlines()) == 1
    assert "during a transfer" in error
    assert "the same command goes on from here" in error
    before = {path: path.stat().st_mtime_ns for path in files_of(tmp_path)}
    assert 40 <= len(before) < NUM_MANY
    assert indexed(tmp_path, archive, source) == undisturbed
    assert len(files_of(tmp_path)) == NUM_MANY
    assert {path: path.stat().st_mtime_ns for path in before} == before


@contextmanager
def lost(orthanc, path):
    """Hide an instance from Orthanc, whose index still lists it."""
    uid = pydicom.dcmread(path).SOPInstanceUID.encode()
    stored = [one for one in (orthanc.folder / "db").glob("??/??/*") if uid in one.read_bytes()]
    hidden = [one.rename(one.with_name("hidden")) for one in stored]
    assert hidden
    try:
        yield uid.decode()
    finally:
        for one, place in zip(hidden, stored, strict=True):
            one.rename(place)


def test_an_instance_that_the_pacs_lost_is_an_error_or_left_out_and_comes_once_it_is_found(
    tmp_path, archive, orthanc, capfd
):
    source = pacs(orthanc.reached("dimse"), {"modality": "NM"})
    with lost(orthanc, archive / "1.2.6.1" / "002.dcm") as uid:
        indexed(tmp_path / "a", archive, source, status=2)
        (line,) = capfd.readouterr().err.splitlines()
        assert "1 of 5 instances did not come: 1 x status C000 (Unable to Process)" in line
        assert "the same command asks for those alone" in line
        assert uid not in line
        _, verdicts = indexed(tmp_path / "b", archive, source | {"pacs": source["pacs"] | KEEP})
        assert verdicts == [("", "missing_slice")] * 4
        assert "warning: " in capfd.readouterr().out
    found = indexed(tmp_path / "a", archive, source)
    assert "1 series, 5 instances, 1 of them new" in capfd.readouterr().out
    assert found == expected(tmp_path / "c", archive, "1.2.6.1")


def test_a_series_that_orthanc_cannot_list_by_dicomweb_is_one_line(
    tmp_path, archive, orthanc, capfd
):
    source = pacs(orthanc.reached("dicomweb"), {"modality": "NM"})
    with lost(orthanc, archive / "1.2.6.1" / "002.dcm"):
        indexed(tmp_path / "a", archive, source, status=2)
    (line,) = capfd.readouterr().err.splitlines()
    assert "failed at a query at IMAGE level: HTTP 500; its own log says why" in line
    found = indexed(tmp_path / "a", archive, source)
    assert found == expected(tmp_path / "b", archive, "1.2.6.1")


def test_nothing_of_all_is_an_error_even_where_less_would_do(tmp_path, archive, orthanc, capfd):
    reached = orthanc.reached("dimse", calling_ae="STRANDED")
    indexed(tmp_path, archive, pacs(reached, {"modality": "NM"}, **KEEP), status=2)
    assert "5 of 5 instances did not come" in capfd.readouterr().err


REFUSALS = {
    "called": ("dimse", {"called_ae": "WRONG"}, "Called AE title not recognised"),
    "calling": ("dimse", {"calling_ae": "NOBODY"}, "knows NOBODY (Orthanc: DicomModalities)"),
    "stranded": ("dimse", {"calling_ae": "STRANDED"}, "reach it at 127.0.0.1:"),
    "port": ("dimse", {"port": 1}, "cannot be reached (Connection refused); check"),
    "password": (
        "dicomweb",
        {"credentials": None},
        "a query at STUDY level: HTTP 401; `credentials`",
    ),
    "path": ("dicomweb", {"url": "/elsewhere"}, "HTTP 404; url must be the root"),
    "web_port": ("dicomweb", {"url": "http://127.0.0.1:1/dicom-web"}, "cannot be reached"),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_a_pacs_that_refuses_or_is_not_there_is_one_line(tmp_path, archive, orthanc, name, capfd):
    by, changed, message = REFUSALS[name]
    if changed.get("url", "").startswith("/"):
        changed = {"url": orthanc.url + changed["url"]}
    source = pacs(orthanc.reached(by, **changed), {"modality": "CT"})
    indexed(tmp_path, archive, source, status=2)
    printed = capfd.readouterr()
    (line,) = printed.err.splitlines()
    assert message in line
    assert SURNAME not in printed.out + printed.err
    assert not files_of(tmp_path)


@BOTH
def test_no_name_and_no_secret_leaves_the_private_folder(
    tmp_path, archive, orthanc, servers, by, capfd
):
    store = tmp_path / "store"
    tracker = {"name": "mlflow", "uri": f"sqlite:///{store}/mlflow.db", "experiment": "e"}
    store.mkdir()
    source = pacs(orthanc.reached(by), {"modality": "CT"})
    path = config(tmp_path, archive, source)
    path.write_text(path.read_text() + yaml.safe_dump({"tracker": tracker}))
    assert main(["index", str(path)]) == 0
    words = [SURNAME, servers.PASSWORD, *(held[2] for held in HELD)]
    private = tmp_path / "out" / "private"
    looked_at = [p for p in tmp_path.rglob("*") if p.is_file() and not p.is_relative_to(private)]
    assert any(p.name == "mlflow.db" for p in looked_at)
    for path in looked_at:
        content = path.read_bytes() + path.name.encode()
        assert not [word for word in words if word.encode() in content], path
    printed = "".join(capfd.readouterr())
    assert not [word for word in words if word in printed]
    assert all(not [w for w in words if w in path.name] for path in private.rglob("*"))
    assert SURNAME.encode() in files_of(tmp_path)[0].read_bytes()  # or nothing could be found


@pytest.mark.mirror
@BOTH
def test_compressed_images_arrive_as_they_are_stored(tmp_path, archive, mirror, orthanc, by):
    """A CT series in JPEG 2000, and one MR slice in each syntax that Orthanc keeps."""
    sent = {}
    slices = sorted(mirror.glob("dicom_ct_totalseg_jpeg2000/data/*"))
    copies = sorted(mirror.glob("dicom_mr_slice_all_syntaxes/data/*.dcm"))
    assert len(slices) == 20
    for number, path in enumerate(slices + copies):
        found = pydicom.dcmread(path)
        found.SOPClassUID = CTImageStorage if path in slices else MRImageStorage
        found.SOPInstanceUID = generate_uid()
        found.StudyInstanceUID, found.StudyDate = "1.2.5", "19990101"
        found.SeriesInstanceUID = "1.2.5.1" if path in slices else "1.2.5.2"
        found.file_meta.MediaStorageSOPClassUID = found.SOPClassUID
        found.file_meta.MediaStorageSOPInstanceUID = found.SOPInstanceUID
        found.save_as(tmp_path / f"{number:02d}.dcm", enforce_file_format=True)
        sent[found.SOPInstanceUID] = (found.file_meta.TransferSyntaxUID, found.PixelData)
    orthanc.upload(sorted(tmp_path.glob("*.dcm")))
    dates = {"first": "1999-01-01", "last": "1999-01-01"}
    indexed(tmp_path / "a", archive, pacs(orthanc.reached(by), {"dates": dates}))
    got = {}
    for path in files_of(tmp_path / "a"):
        found = pydicom.dcmread(path)
        got[found.SOPInstanceUID] = (found.file_meta.TransferSyntaxUID, found.PixelData)
    assert {uid: got.get(uid) for uid in sent} == sent
    assert len({syntax for syntax, _ in sent.values()}) >= 8
