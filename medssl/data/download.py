"""Download: files by URL, going on where a connection was cut, checked before they appear.

pooch checks the digest and moves the finished file to its name; what it lacks, asking a server
for the rest of a file (RFC 9110, 14.2), is `Resuming`.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Protocol, runtime_checkable

import pooch
import requests

from medssl.data.cards import RemoteFile
from medssl.errors import DataError

CHUNK_BYTES = 2**20
ATTEMPTS = 3
TIMEOUT_S = 30
# Errors that the same request may not meet again.
CUT = (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError)


@runtime_checkable
class Watch(Protocol):
    """Looks at chunks that come by, such as a progress bar."""

    def __call__(self, chunks: Iterable[bytes], *, total: int) -> Iterable[bytes]:
        """Yield the chunks, of which there will be about `total`."""
        ...


def download(file: RemoteFile, folder: Path, *, watch: Watch) -> Path:
    """Fetch a file into a folder, unless it is there already, and return its path.

    Raises:
        DataError: If the server does not give it, or it is not what the card says. Nothing is
            then left under the file's name; what came of a cut connection is kept beside it
            and the next call goes on from there.
    """
    if file.digest is None:
        msg = f"{file.url}: the card gives no digest to check it by, so it is not downloaded"
        raise DataError(msg)
    target = folder / file.name
    partial = folder / f".{file.name}.part"
    try:
        pooch.retrieve(
            file.url,
            known_hash=file.digest,
            fname=file.name,
            path=folder,
            downloader=Resuming(partial, file.size, watch),
        )
    except requests.HTTPError as error:
        msg = (
            f"{file.url}: the server answered {error}; see whether the address is still right and "
            f"correct the card, or take the files from a mirror"
        )
        raise DataError(msg) from error
    except requests.RequestException as error:
        msg = f"{file.url}: the connection failed: {error}; the same command goes on from here"
        raise DataError(msg) from error
    except ValueError as error:
        msg = (
            f"{file.url}: expected {file.digest}, got another content, which is thrown away; "
            f"the publisher changed the file, or the download was spoiled"
        )
        raise DataError(msg) from error
    finally:
        if target.exists():
            partial.unlink(missing_ok=True)
    return target


@dataclass(frozen=True)
class Resuming:
    """A downloader for pooch that keeps what it got and asks for the rest.

    Args:
        partial: Where the bytes are gathered.
        size: Of the whole file, where known.
        watch: Looks at the chunks.
    """

    partial: Path
    size: int | None
    watch: Watch

    def __call__(self, url: str, output_file: str, pooch: object) -> None:
        """Gather the whole file and hand it over under the name that pooch will check."""
        for attempt in range(1, ATTEMPTS + 1):
            try:
                self._gather(url)
                break
            except CUT:
                if attempt == ATTEMPTS:
                    raise
        self.partial.replace(output_file)

    def _gather(self, url: str) -> None:
        have = self.partial.stat().st_size if self.partial.exists() else 0
        if self.size is not None and have == self.size:
            return
        # Encoded content has other byte positions than the file.
        headers = {"Accept-Encoding": "identity"}
        if have:
            headers["Range"] = f"bytes={have}-"
        with requests.get(url, headers=headers, stream=True, timeout=TIMEOUT_S) as response:
            if response.status_code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
                # There is nothing after what is here: whole, or spoiled, which the digest tells.
                return
            response.raise_for_status()
            goes_on = response.status_code == HTTPStatus.PARTIAL_CONTENT
            left = int(response.headers.get("Content-Length", 0))
            chunks = response.iter_content(CHUNK_BYTES)
            watched = self.watch(chunks, total=-(-left // CHUNK_BYTES))
            with self.partial.open("ab" if goes_on else "wb") as file:
                for chunk in watched:
                    file.write(chunk)
