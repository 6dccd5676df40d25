"""The folder of what came from a PACS."""

import shutil

import pytest

from medssl.data.pacs.received import Received
from medssl.errors import DataError


def test_an_instance_is_one_file_whose_name_does_not_tell_its_uid(tmp_path):
    received = Received(tmp_path / "0")
    assert "1.2.3" not in received
    received.write("1.2.3", b"first")
    received.write("1.2.3", b"again")
    assert "1.2.3" in received
    (path,) = received.files.glob("*/*")
    assert path.read_bytes() == b"again"
    assert "1.2.3" not in str(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert not list((tmp_path / "0" / "arriving").iterdir())


def test_others_cannot_look_into_it(tmp_path):
    Received(tmp_path / "received" / "0")
    folders = [tmp_path / "received", *(tmp_path / "received").rglob("*")]
    assert {path.stat().st_mode & 0o777 for path in folders} == {0o700}


def test_what_is_not_whole_is_gone_on_the_next_run(tmp_path):
    received = Received(tmp_path / "0")
    (tmp_path / "0" / "arriving" / "half").write_bytes(b"half")
    received.write("1", b"whole")
    again = Received(tmp_path / "0")
    assert "1" in again
    assert not list((tmp_path / "0" / "arriving").iterdir())


def test_what_another_query_asked_for_is_set_aside_and_comes_back(tmp_path):
    received = Received(tmp_path / "0")
    for uid in ("1", "2", "3"):
        received.write(uid, uid.encode())
    received.settle(["2", "4"])
    assert [uid for uid in ("1", "2", "3", "4") if uid in received] == ["2"]
    received.settle(["1", "2", "4"])
    assert [uid for uid in ("1", "2", "3", "4") if uid in received] == ["1", "2"]
    assert sorted(path.read_bytes() for path in received.files.glob("*/*")) == [b"1", b"2"]


def test_a_disk_that_takes_no_more_is_one_line(tmp_path):
    received = Received(tmp_path / "0")
    shutil.rmtree(tmp_path / "0" / "arriving")
    with pytest.raises(DataError, match=r"expected room .*; make some, the same"):
        received.write("1.2.3", b"")
