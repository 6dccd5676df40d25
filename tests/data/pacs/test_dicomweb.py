"""QIDO-RS and WADO-RS against a server in this process."""

import base64
import json
from contextlib import contextmanager
from datetime import date

import pytest

from medssl.data.pacs.dicomweb import Site, open_dicomweb
from medssl.data.pacs.query import Query, find_series, find_studies
from medssl.data.pacs.received import Received
from medssl.data.pacs.transfer import bring, failures
from medssl.errors import ConfigError, DataError

CHEST = Query(body_part="CHEST")


def fetched(web, folder, query=CHEST, credentials=None, url=None):
    """Bring what a query finds; return what failed and what is there, by UID."""
    received = Received(folder)
    with open_dicomweb(site(web, credentials, url)) as pacs:
        series = find_series(pacs, query, iter(find_studies(pacs, query)))
        failed = failures(bring(pacs, series, received))
    return failed, here(web, received)


def site(web, credentials=None, url=None):
    return Site(url=url or web.url, credentials=credentials, timeout_s=10.0)


def here(web, received):
    return [uid for uids in web.held.values() for uid in uids if uid in received]


def of(web, *series):
    return [uid for (_, one), uids in web.held.items() if one in series for uid in uids]


@contextmanager
def failing(web, message):
    """Expect one line that names the service and no instance or patient."""
    with pytest.raises(DataError, match=message) as caught:
        yield
    text = str(caught.value)
    assert web.url.rpartition("/")[0] in text
    assert web.surname not in text
    assert "1.2." not in text
    assert "\n" not in text


@pytest.mark.parametrize(
    ("query", "series"),
    [
        (Query(modality="CT"), ["1.2.1.1", "1.2.2.1"]),
        (Query(body_part="HEAD"), ["1.2.1.2"]),
        (Query(modality="CT", first=date(2021, 1, 1)), ["1.2.2.1"]),
    ],
)
def test_what_the_query_wants_comes_and_nothing_else(tmp_path, web, query, series, capfd):
    failed, found = fetched(web, tmp_path, query)
    assert not failed
    assert found == of(web, *series)
    paths = list(Received(tmp_path).files.glob("*/*"))
    contents = {path.read_bytes()[132:].split(b"\r\n")[0].decode() for path in paths}
    assert sorted(contents) == sorted(found)
    assert all(path.read_bytes().endswith(b"--not the end\r\n") for path in paths)
    assert "".join(capfd.readouterr()) == ""


def test_instances_are_asked_for_as_they_are_stored_and_once(tmp_path, web):
    fetched(web, tmp_path)
    again, _ = fetched(web, tmp_path)
    assert not again
    asked = [(path, said) for path, said in web.requests if path.count("/") == 7]
    assert [path.rpartition("/")[2] for path, _ in asked] == of(web, "1.2.1.1")
    assert {said["Accept"] for _, said in asked} == {
        'multipart/related; type="application/dicom"; transfer-syntax=*'
    }


@pytest.mark.parametrize("page", [1, 2, 5])
def test_answers_that_come_in_pages_are_read_to_the_end(tmp_path, web, page):
    web.page = page
    _, found = fetched(web, tmp_path)
    assert found == of(web, "1.2.1.1")


def test_a_server_that_repeats_its_first_page_is_not_asked_for_ever(tmp_path, web):
    web.ignores_offset = True
    _, found = fetched(web, tmp_path)
    assert found == of(web, "1.2.1.1")
    assert len(web.requests) < 20


def test_an_instance_that_cannot_be_had_costs_no_other_and_comes_later(tmp_path, web):
    web.trouble = {"1.2.1.1.2": 500, "1.2.1.1.3": "no end", "1.2.1.1.4": "no dicom"}
    failed, found = fetched(web, tmp_path)
    assert failed == {"HTTP 500": 1, "an answer that is no whole DICOM file": 2}
    assert found == ["1.2.1.1.1", "1.2.1.1.5"]
    web.trouble, web.requests[:] = {}, []
    failed, found = fetched(web, tmp_path)
    assert not failed
    assert found == of(web, "1.2.1.1")
    assert sum(path.count("/") == 7 for path, _ in web.requests) == 3


@pytest.mark.parametrize("code", [401, 403])
def test_a_service_that_refuses_to_hand_over_is_not_asked_again(tmp_path, web, code):
    web.trouble = dict.fromkeys(of(web, "1.2.1.1"), code)
    with failing(web, f"failed at a transfer: HTTP {code}; `credentials` names"):
        fetched(web, tmp_path)
    assert sum(path.count("/") == 7 for path, _ in web.requests) == 1


def test_a_file_that_comes_bare_is_taken(tmp_path, web):
    web.trouble = {"1.2.1.1.2": "bare"}
    failed, found = fetched(web, tmp_path)
    assert not failed
    assert found == of(web, "1.2.1.1")


def test_a_connection_that_is_cut_is_one_line_and_the_rest_comes_later(tmp_path, web):
    web.trouble = {"1.2.1.1.3": "cut"}
    with failing(web, "or was cut off, during a transfer"):
        fetched(web, tmp_path)
    assert here(web, Received(tmp_path)) == ["1.2.1.1.1", "1.2.1.1.2"]
    web.trouble = {}
    _, found = fetched(web, tmp_path)
    assert found == of(web, "1.2.1.1")


def test_a_server_that_is_not_there_is_named(tmp_path, web):
    web.shutdown()
    web.socket.close()
    with failing(web, r"cannot be reached, .* during a query at STUDY level \(ConnectionError\)"):
        fetched(web, tmp_path)


def test_a_url_that_is_no_dicomweb_root_is_named(tmp_path, web):
    with failing(web, "HTTP 404; url must be the root"):
        fetched(web, tmp_path, url=web.url.replace("dicom-web", "other"))


def test_a_page_that_is_no_json_is_named(tmp_path, web, monkeypatch):
    monkeypatch.setattr(json, "dumps", lambda page: "<html>")
    with failing(web, r"as a DICOMweb service does \(JSONDecodeError\); url must be"):
        fetched(web, tmp_path)


def test_credentials_come_from_the_environment(tmp_path, web, monkeypatch):
    monkeypatch.setenv("PACS_SECRET", "user:pass:word")
    web.authorization = "Basic " + base64.b64encode(b"user:pass:word").decode()
    assert fetched(web, tmp_path / "a", credentials="PACS_SECRET")[1] == of(web, "1.2.1.1")
    monkeypatch.setenv("PACS_SECRET", "Bearer some-token")
    with failing(web, "failed at a query at STUDY level: HTTP 401; `credentials` names"):
        fetched(web, tmp_path / "b", credentials="PACS_SECRET")
    web.authorization = "Bearer some-token"
    assert fetched(web, tmp_path / "b", credentials="PACS_SECRET")[1] == of(web, "1.2.1.1")


def test_credentials_that_are_not_set_are_an_error(tmp_path, web, monkeypatch):
    monkeypatch.delenv("PACS_SECRET", raising=False)
    with pytest.raises(ConfigError, match="environment variable PACS_SECRET is not set"):
        fetched(web, tmp_path, credentials="PACS_SECRET")


def test_a_login_of_the_home_folder_is_not_sent(tmp_path, web, monkeypatch):
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login other password secret\n")
    monkeypatch.setenv("NETRC", str(netrc))
    fetched(web, tmp_path / "a")
    assert not [said for _, said in web.requests if "Authorization" in said]
