"""Against a server on this machine that can cut connections, lie and refuse."""

import hashlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from medssl.data import download as module
from medssl.data.cards import RemoteFile
from medssl.data.download import download
from medssl.errors import DataError

CONTENT = np.random.default_rng(3).bytes(3 * 2**20 + 17)
HALF = len(CONTENT) // 2


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        server = self.server
        server.ranges.append(self.headers.get("Range"))
        if self.path != "/file.bin":
            self.send_error(404)
            return
        start = 0
        if server.knows_ranges and (asked := self.headers.get("Range")):
            start = int(asked.removeprefix("bytes=").removesuffix("-"))
        if start >= len(CONTENT):
            self.send_error(416)
            return
        body = CONTENT[start:]
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if server.cuts:
            server.cuts -= 1
            body = body[:HALF]
        server.sent += len(body)
        self.wfile.write(body)
        self.wfile.flush()
        self.close_connection = True

    def log_message(self, *args):
        pass


@pytest.fixture
def server():
    """A server that cuts the next `cuts` answers short and counts what it sent."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        running.ranges, running.sent, running.cuts, running.knows_ranges = [], 0, 0, True
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield running
        running.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def _direct(monkeypatch):
    """Reach the server although the environment may name a proxy."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


def remote(server, *, content=CONTENT, name="file.bin", **more):
    url = f"http://127.0.0.1:{server.server_port}/{name}"
    return RemoteFile(url=url, sha256=hashlib.sha256(content).hexdigest(), **more)


def unwatched(chunks, *, total):
    return iter(chunks)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_file_arrives_whole(server, tmp_path):
    path = download(remote(server), tmp_path, watch=unwatched)
    assert path == tmp_path / "file.bin"
    assert path.read_bytes() == CONTENT
    assert names(tmp_path) == ["file.bin"]


def test_what_is_there_is_not_fetched_again(server, tmp_path):
    download(remote(server), tmp_path, watch=unwatched)
    download(remote(server), tmp_path, watch=unwatched)
    assert len(server.ranges) == 1


def test_a_cut_connection_is_taken_up_where_it_ended(server, tmp_path):
    server.cuts = 1
    assert download(remote(server), tmp_path, watch=unwatched).read_bytes() == CONTENT
    first, second = server.ranges
    assert first is None
    assert second.startswith("bytes=")
    assert server.sent <= len(CONTENT) + module.CHUNK_BYTES
    assert names(tmp_path) == ["file.bin"]


def test_after_too_many_cuts_a_later_call_goes_on(server, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "ATTEMPTS", 1)
    server.cuts = 1
    with pytest.raises(DataError, match=r"file\.bin: the connection failed.*goes on from here"):
        download(remote(server), tmp_path, watch=unwatched)
    assert names(tmp_path) == [".file.bin.part"]
    had = (tmp_path / ".file.bin.part").stat().st_size
    assert had > 0

    assert download(remote(server), tmp_path, watch=unwatched).read_bytes() == CONTENT
    assert server.ranges == [None, f"bytes={had}-"]


def test_a_server_without_ranges_is_asked_for_everything(server, tmp_path):
    server.cuts, server.knows_ranges = 1, False
    assert download(remote(server), tmp_path, watch=unwatched).read_bytes() == CONTENT
    assert len(server.ranges) == 2


@pytest.mark.parametrize("size", [None, len(CONTENT)])
def test_a_part_that_is_already_whole_is_taken(server, tmp_path, size):
    (tmp_path / ".file.bin.part").write_bytes(CONTENT)
    download(remote(server, size=size), tmp_path, watch=unwatched)
    assert server.sent == 0
    assert names(tmp_path) == ["file.bin"]


def test_another_content_leaves_nothing(server, tmp_path):
    file = remote(server, content=b"what was promised")
    with pytest.raises(DataError, match=rf"expected sha256:{file.sha256}, got another content"):
        download(file, tmp_path, watch=unwatched)
    assert names(tmp_path) == []


def test_a_spoiled_part_is_thrown_away_and_the_next_call_succeeds(server, tmp_path):
    (tmp_path / ".file.bin.part").write_bytes(b"spoiled")
    with pytest.raises(DataError, match="got another content"):
        download(remote(server), tmp_path, watch=unwatched)
    assert download(remote(server), tmp_path, watch=unwatched).read_bytes() == CONTENT


def test_a_file_that_the_server_does_not_have_is_named_with_what_to_do(server, tmp_path):
    file = remote(server, name="gone.bin")
    line = rf"{file.url}: the server answered 404 .*correct the card, or take the files from"
    with pytest.raises(DataError, match=line):
        download(file, tmp_path, watch=unwatched)
    assert names(tmp_path) == []


def test_a_server_that_is_not_there_is_named(server, tmp_path):
    file = RemoteFile(url="http://127.0.0.1:9/file.bin", sha256="0" * 64)
    with pytest.raises(DataError, match=r"127\.0\.0\.1:9/file\.bin: the connection failed"):
        download(file, tmp_path, watch=unwatched)


def test_nothing_is_downloaded_unchecked(server, tmp_path):
    url = f"http://127.0.0.1:{server.server_port}/file.bin"
    with pytest.raises(DataError, match="the card gives no digest"):
        download(RemoteFile(url=url), tmp_path, watch=unwatched)
    assert server.ranges == []


def test_an_md5_is_checked_where_it_is_what_is_known(server, tmp_path):
    url = f"http://127.0.0.1:{server.server_port}/file.bin"
    with pytest.raises(DataError, match="expected md5:0000"):
        download(RemoteFile(url=url, md5="0" * 32), tmp_path, watch=unwatched)
    md5 = hashlib.md5(CONTENT, usedforsecurity=False).hexdigest()
    assert download(RemoteFile(url=url, md5=md5), tmp_path, watch=unwatched).exists()


def test_progress_is_told_in_chunks(server, tmp_path):
    seen = []

    def watch(chunks, *, total):
        for chunk in chunks:
            seen.append((len(chunk), total))
            yield chunk

    download(remote(server), tmp_path, watch=watch)
    assert sum(size for size, _ in seen) == len(CONTENT)
    assert {total for _, total in seen} == {len(seen)} == {4}
