"""Where a source's images are: its folder, or what its PACS has sent into the private one."""

import hashlib
import os
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path

from medssl.config.pacs import PacsSource, WebPacs
from medssl.config.stages.index import Root
from medssl.data.pacs import Pacs
from medssl.data.pacs.dicomweb import Dicomweb
from medssl.data.pacs.dimse import Dimse
from medssl.data.pacs.query import Series
from medssl.data.pacs.receive import receive
from medssl.data.pacs.received import Received
from medssl.errors import ConfigError
from pipelines._hidden import place_of
from pipelines._progress import track


def folder_of(number: int, source: Root, private: Path) -> Path:
    """Return the folder to index, after receiving what a PACS has and it has not.

    Args:
        number: Which source it is.
        source: What the config says of it.
        private: Where what is received goes.
    """
    if source.pacs is None:
        return place_of(source.root or "", f"sources.{number}.root")
    folder = private / "received" / _name(source.pacs)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    receive(_pacs(source.pacs), source.pacs.query, Received(folder), _shown)
    return folder


def _name(source: PacsSource) -> str:
    """Return a name of its own for another PACS or another query."""
    return hashlib.sha256(repr(source).encode()).hexdigest()[:16]


def _pacs(source: PacsSource) -> Pacs:
    if source.dimse is not None:
        return Dimse(**asdict(source.dimse))
    if source.dicomweb is not None:
        web = source.dicomweb
        return Dicomweb(url=web.url, authorization=_secret(web), timeout_s=web.timeout_s)
    msg = "pacs: expected exactly one of dimse and dicomweb"
    raise ConfigError(msg)


def _secret(web: WebPacs) -> str | None:
    if web.authorization is None:
        return None
    if web.authorization not in os.environ:
        msg = (
            f"pacs.dicomweb.authorization: there is no environment variable {web.authorization}; "
            "set it to the value of the Authorization header, such as `Bearer ...`"
        )
        raise ConfigError(msg)
    return os.environ[web.authorization]


def _shown(series: Iterable[Series], total: int) -> Iterator[Series]:
    return track(series, total=total, label="receive", unit="series")
