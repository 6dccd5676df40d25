import hashlib
import json
import threading
import zipfile
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest
import yaml

from pipelines.__main__ import main

FILES = {"images/a.nii.gz": b"one", "labels/a.nii.gz": b"two"}


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


@pytest.fixture(autouse=True)
def _no_mirror(monkeypatch):
    monkeypatch.delenv("MEDSSL_MIRROR", raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


@pytest.fixture
def local_mirror(tmp_path):
    for name, data in FILES.items():
        path = tmp_path / "mirror/some" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return tmp_path / "mirror"


@pytest.fixture
def server(tmp_path):
    (tmp_path / "served").mkdir()
    with zipfile.ZipFile(tmp_path / "served/some.zip", "w") as archive:
        for name, data in FILES.items():
            archive.writestr(name, data)
    (tmp_path / "served/table.csv").write_text("a,b\n")
    handler = partial(Quiet, directory=tmp_path / "served")
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()
        thread.join()


@pytest.fixture
def card(tmp_path):
    def write(**more):
        tree = {
            "name": "some",
            "title": "A set",
            "licence": "CC0",
            "citation": "Nobody",
            "homepage": "https://example.org",
            "layout": "images and labels",
            "mirror": "some",
            "note": "Sign there.",
        }
        (tmp_path / "some.yaml").write_text(yaml.safe_dump({**tree, **more}))
        return tmp_path / "some.yaml"

    return write


def served(server, folder):
    return [
        {"url": f"{server}/{name}", "sha256": digest(folder / "served" / name), **more}
        for name, more in (("some.zip", {"unpack": "zip"}), ("table.csv", {}))
    ]


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def fetch(card, output, **more):
    words = [f"card={card}", f"output={output}", *(f"{k}={v}" for k, v in more.items())]
    return main(["fetch", *(part for word in words for part in ("--set", word))])


def content(folder):
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*.*z")}


def test_a_mirror_is_copied_and_written_down(tmp_path, local_mirror, card, capsys):
    assert fetch(card(), tmp_path / "out", mirror=local_mirror) == 0
    assert content(tmp_path / "out/data") == FILES
    record = json.loads((tmp_path / "out/fetch.json").read_text())
    assert (record["card"], record["licence"], record["citation"]) == ("some", "CC0", "Nobody")
    assert record["files"] == {n: hashlib.sha256(d).hexdigest() for n, d in FILES.items()}
    out = capsys.readouterr().out
    assert "licence: CC0" in out
    assert f"fetch: 2 files, 0.0 MB: {tmp_path / 'out/data'}" in out
    assert "warning" not in out


def test_the_environment_names_the_mirror(tmp_path, local_mirror, card, monkeypatch):
    monkeypatch.setenv("MEDSSL_MIRROR", str(local_mirror))
    assert fetch(card(), tmp_path / "out") == 0
    assert content(tmp_path / "out/data") == FILES


def test_another_part_of_the_set_is_news_and_no_error(tmp_path, local_mirror, card, capsys):
    assert fetch(card(mirror_digest="5" * 64), tmp_path / "out", mirror=local_mirror) == 0
    assert "warning: " in capsys.readouterr().out
    record = json.loads((tmp_path / "out/fetch.json").read_text())
    assert fetch(card(mirror_digest=record["digest"]), tmp_path / "out", mirror=local_mirror) == 0
    assert "warning" not in capsys.readouterr().out


def test_urls_are_used_without_a_mirror(tmp_path, server, card):
    path = card(files=served(server, tmp_path))
    assert fetch(path, tmp_path / "out") == 0
    assert content(tmp_path / "out/data") == FILES
    assert (tmp_path / "out/data/table.csv").read_text() == "a,b\n"
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["data", "fetch.json"]


def test_a_finished_download_is_left_alone_and_a_spoiled_one_repaired(tmp_path, server, card):
    path = card(files=served(server, tmp_path))
    fetch(path, tmp_path / "out")
    (tmp_path / "served/some.zip").rename(tmp_path / "served/away.zip")
    assert fetch(path, tmp_path / "out") == 0
    (tmp_path / "served/away.zip").rename(tmp_path / "served/some.zip")
    (tmp_path / "out/data/images/a.nii.gz").write_bytes(b"spoiled")
    assert fetch(path, tmp_path / "out") == 0
    assert content(tmp_path / "out/data") == FILES


def test_a_set_that_the_mirror_lacks_comes_from_its_urls(
    tmp_path, server, local_mirror, card, monkeypatch
):
    monkeypatch.setenv("MEDSSL_MIRROR", str(local_mirror))
    path = card(mirror="elsewhere", files=served(server, tmp_path))
    assert fetch(path, tmp_path / "out") == 0
    assert (tmp_path / "out/data/table.csv").exists()


def test_a_wrong_digest_ends_without_a_result(tmp_path, server, card, capsys):
    files = served(server, tmp_path)
    files[1]["sha256"] = "0" * 64
    assert fetch(card(files=files), tmp_path / "out") == 2
    error = capsys.readouterr().err
    assert "table.csv: expected sha256:000" in error
    assert not (tmp_path / "out/fetch.json").exists()
    assert not (tmp_path / "out/data/table.csv").exists()


def test_a_missing_file_ends_with_its_address(tmp_path, server, card, capsys):
    files = [{"url": f"{server}/gone.zip", "sha256": "0" * 64}]
    assert fetch(card(files=files), tmp_path / "out") == 2
    assert f"{server}/gone.zip: the server answered 404" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("files", "why"),
    [([], "gives no URL"), ([{"url": "http://127.0.0.1/x.zip"}], "gives no digest for some URL")],
)
def test_what_cannot_be_downloaded_says_where_to_get_it(tmp_path, card, capsys, files, why):
    assert fetch(card(files=files), tmp_path / "out") == 2
    error = capsys.readouterr().err
    assert why in error
    assert "Sign there. Get it from https://example.org, put it into a folder some/" in error


def test_a_mirror_without_the_set_or_with_nothing_is_named(tmp_path, card, capsys):
    (tmp_path / "empty/some").mkdir(parents=True)
    assert fetch(card(), tmp_path / "out", mirror=tmp_path / "empty") == 2
    assert "empty/some holds no files" in capsys.readouterr().err
    assert fetch(card(), tmp_path / "out", mirror=tmp_path / "nowhere") == 2
    assert "nowhere/some is no folder" in capsys.readouterr().err


@pytest.mark.mirror
def test_a_real_set_comes_from_the_real_mirror(tmp_path, mirror, pytestconfig):
    card = pytestconfig.rootpath / "data_manifests/dicom_rtstruct.yaml"
    assert fetch(card, tmp_path / "out", mirror=mirror) == 0
    found = json.loads((tmp_path / "out/fetch.json").read_text())["files"]
    source = mirror / "dicom_rtstruct"
    expected = {p.relative_to(source).as_posix() for p in source.rglob("*") if p.is_file()}
    assert set(found) == expected
