"""C-FIND and C-MOVE against a PACS in this process, over sockets."""

import socket
import threading
from datetime import date

import pydicom
import pytest
from pydicom.uid import CTImageStorage, JPEG2000Lossless
from pynetdicom import AE

from medssl.data.pacs import Series, dimse
from medssl.data.pacs.query import Query, find_series, find_studies
from medssl.data.pacs.received import Received
from medssl.data.pacs.transfer import bring, failures
from medssl.errors import DataError

FIRST = Series("1.2.1", "1.2.1.1", tuple(f"1.2.1.1.{n}" for n in range(1, 6)))


def fetched(archive, folder, query, **changed):
    """Bring what a query finds; return what failed and what is there, by UID."""
    received = Received(folder)
    with dimse.open_dimse(archive.peer(**changed)) as pacs:
        series = find_series(pacs, query, iter(find_studies(pacs, query)))
        failed = failures(bring(pacs, series, received))
    return failed, uids_in(received)


def uids_in(received):
    return sorted(pydicom.dcmread(p).SOPInstanceUID for p in received.files.glob("*/*"))


def of(archive, *series):
    return sorted(uid for (_, one), uids in archive.held.items() if one in series for uid in uids)


@pytest.mark.parametrize(
    ("query", "series"),
    [
        (Query(modality="CT"), ["1.2.1.1", "1.2.2.1"]),
        (Query(modality="MR"), ["1.2.1.2"]),
        (Query(body_part="CHEST"), ["1.2.1.1"]),
        (Query(modality="CT", first=date(2021, 1, 1)), ["1.2.2.1"]),
        (Query(last=date(2020, 1, 31)), ["1.2.1.1", "1.2.1.2"]),
    ],
)
def test_what_the_query_wants_comes_and_nothing_else(tmp_path, archive, query, series, capfd):
    failed, found = fetched(archive.start(), tmp_path, query)
    assert not failed
    assert found == of(archive, *series)
    assert [level for level, _ in archive.moves] == ["SERIES"] * len(series)
    assert "".join(capfd.readouterr()) == ""


def test_of_a_series_that_was_cut_only_the_rest_is_asked_for(tmp_path, archive):
    archive.start().cut_after = 2
    with pytest.raises(DataError, match=r"ARCHIVE at .* ended the association.*during a transfer"):
        fetched(archive, tmp_path, Query(body_part="CHEST"))
    assert uids_in(Received(tmp_path)) == ["1.2.1.1.1", "1.2.1.1.2"]
    archive.cut_after, archive.moves = None, []
    failed, found = fetched(archive, tmp_path, Query(body_part="CHEST"))
    assert not failed
    assert found == of(archive, "1.2.1.1")
    assert archive.moves == [("IMAGE", ["1.2.1.1.3", "1.2.1.1.4", "1.2.1.1.5"])]
    assert sorted(archive.sent) == found  # each once, over both runs
    archive.moves = []
    fetched(archive, tmp_path, Query(body_part="CHEST"))
    assert archive.moves == []


def test_many_missing_instances_are_asked_for_in_parts(tmp_path, archive, monkeypatch):
    monkeypatch.setattr(dimse, "AT_ONCE", 2)
    Received(tmp_path).write("1.2.1.1.2", b"here")
    archive.start()
    received = Received(tmp_path)
    with dimse.open_dimse(archive.peer()) as pacs:
        assert not failures(bring(pacs, [FIRST], received))
    assert archive.moves == [
        ("IMAGE", ["1.2.1.1.1", "1.2.1.1.3"]),
        ("IMAGE", ["1.2.1.1.4", "1.2.1.1.5"]),
    ]


def test_an_instance_that_cannot_be_sent_costs_no_other(tmp_path, archive):
    archive.start().broken = {"1.2.1.1.2", "1.2.1.1.4"}
    failed, found = fetched(archive, tmp_path, Query(body_part="CHEST"))
    assert found == ["1.2.1.1.1", "1.2.1.1.3", "1.2.1.1.5"]
    ((reason, count),) = failed.items()
    assert count == 2
    assert reason.startswith("status A702 (Refused: Out of resources")
    assert len(archive.moves) == 5  # the series, then each of the four that are left


def test_instances_that_are_sent_after_the_answer_are_waited_for(tmp_path, archive):
    archive.start().is_early = True
    failed, found = fetched(archive, tmp_path, Query(body_part="CHEST"))
    assert not failed
    assert found == of(archive, "1.2.1.1")


def test_instances_that_are_sent_elsewhere_did_not_come(tmp_path, archive, monkeypatch):
    monkeypatch.setattr(dimse, "LINGER_S", 0.1)
    archive.start().is_early, archive.sends = True, False
    failed, found = fetched(archive, tmp_path, Query(body_part="CHEST"))
    assert not found
    ((reason, count),) = failed.items()
    assert reason.startswith(
        "said to be sent; does the PACS know MEDSSL (Orthanc: DicomModalities)"
    )
    assert f"reach it at 127.0.0.1:{archive.listen_port}?" in reason
    assert count == 5
    assert len(archive.moves) == dimse.PATIENCE_AT_FIRST


def test_a_destination_that_the_pacs_does_not_know_is_named(tmp_path, archive):
    archive.start().knows_us = False
    with pytest.raises(DataError, match=r"move destination MEDSSL: .*DicomModalities.* at 127\.0"):
        fetched(archive, tmp_path, Query(modality="CT"))
    assert len(archive.moves) == 1


@pytest.mark.parametrize("title", ["MEDSSL", "OTHER"])
def test_a_pacs_that_refuses_says_which_title_it_does_not_know(tmp_path, archive, title):
    archive.entity.require_calling_aet = ["OTHER"]
    archive.start()
    changed = {"calling_ae": title, "called_ae": "ARCHIVE" if title == "MEDSSL" else "WRONG"}
    unknown = "Calling" if title == "MEDSSL" else "Called"
    with pytest.raises(DataError, match=rf"refuses the association: {unknown} AE title not rec"):
        fetched(archive, tmp_path, Query(modality="CT"), **changed)


def test_a_pacs_that_does_not_offer_what_is_needed_says_so(tmp_path, archive):
    archive.start(models=[dimse.MOVE])
    with pytest.raises(DataError, match="does not offer MEDSSL C-FIND and C-MOVE"):
        fetched(archive, tmp_path, Query(modality="CT"))


@pytest.mark.parametrize("host", ["127.0.0.1", "nowhere.invalid"])
def test_a_pacs_that_is_not_there_is_named(tmp_path, archive, host):
    with pytest.raises(DataError, match=rf"ARCHIVE at {host}:\d+ cannot be reached"):
        fetched(archive, tmp_path, Query(modality="CT"), host=host)


def test_a_server_that_is_no_pacs_is_told_apart_from_none(tmp_path, archive):
    with socket.create_server(("127.0.0.1", archive.port)) as server:

        def hang_up():
            for _ in range(2):
                server.accept()[0].close()

        thread = threading.Thread(target=hang_up)
        thread.start()
        with pytest.raises(DataError, match="does not answer as a PACS"):
            fetched(archive, tmp_path, Query(modality="CT"))
        thread.join()


def test_a_pacs_that_says_nothing_is_left(tmp_path, archive):
    archive.start().is_deaf = True
    with pytest.raises(DataError, match=r"or said nothing for 1 s, during a transfer"):
        fetched(archive, tmp_path, Query(modality="CT"), timeout_s=1.0)


def test_answers_that_are_cut_short_are_no_answer(tmp_path, archive):
    archive.start().find_status = 0xB001
    with pytest.raises(DataError, match=r"a query at STUDY level in full: status B001 \(Matching"):
        fetched(archive, tmp_path, Query(modality="CT"))


def test_a_port_that_is_taken_is_named(tmp_path, archive):
    archive.start()
    with (
        socket.create_server(("127.0.0.1", archive.listen_port)),
        pytest.raises(DataError, match=rf"127\.0\.0\.1:{archive.listen_port}: cannot listen here"),
    ):
        fetched(archive, tmp_path, Query(modality="CT"))


def test_a_disk_that_takes_no_more_ends_the_transfer(tmp_path, archive, monkeypatch):
    def full(self, uid, content):
        msg = "expected room"
        raise DataError(msg)

    monkeypatch.setattr(Received, "write", full)
    with pytest.raises(DataError, match="expected room"):
        fetched(archive.start(), tmp_path, Query(modality="CT"))


def sent_to(archive, uid, sop_class, syntax, content):
    """Send an instance to where the PACS would send it, unasked; return the answer."""
    found = pydicom.Dataset()
    found.file_meta = pydicom.dataset.FileMetaDataset()
    found.file_meta.TransferSyntaxUID = syntax
    found.SOPClassUID, found.SOPInstanceUID, found.PixelData = sop_class, uid, content
    found["PixelData"].is_undefined_length = syntax.is_compressed
    found["PixelData"].VR = "OB"
    entity = AE("OTHER")
    entity.add_requested_context(sop_class, syntax)
    line = entity.associate("127.0.0.1", archive.listen_port, ae_title="MEDSSL")
    status = line.send_c_store(found).Status
    line.release()
    return status


@pytest.mark.parametrize("sop_class", [CTImageStorage, "1.3.12.2.1107.5.9.1"])
def test_any_class_and_syntax_is_taken_byte_for_byte(tmp_path, archive, sop_class):
    archive.start()
    received = Received(tmp_path)
    pixels = pydicom.encaps.encapsulate([b"not decoded", b"nor looked at"])
    with dimse.open_dimse(archive.peer()) as pacs:
        pacs._inbox.expect(["1.2.1.1.1"], received)
        status = sent_to(archive, "1.2.1.1.1", sop_class, JPEG2000Lossless, pixels)
    assert status == 0x0000
    (path,) = received.files.glob("*/*")
    found = pydicom.dcmread(path)
    assert found.PixelData == pixels
    assert found.file_meta.TransferSyntaxUID == JPEG2000Lossless
    assert found.file_meta.MediaStorageSOPClassUID == sop_class


def test_what_was_not_asked_for_is_turned_away(tmp_path, archive):
    archive.start()
    received = Received(tmp_path)
    with dimse.open_dimse(archive.peer()) as pacs:
        pacs._inbox.expect(FIRST.instances, received)
        status = sent_to(archive, "6.6.6", CTImageStorage, pydicom.uid.ExplicitVRLittleEndian, b"")
    assert status == 0x0124
    assert not list(received.files.glob("*/*"))
