"""Cards: what a public data set is, under which terms, where it comes from, how it is laid out.

A card is a YAML file in `data_manifests/`. It lists files by URL where they may be downloaded
without an account, and the folder of a local mirror where they were put by hand.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

from medssl.errors import DataError

ARCHIVES = ("tar", "zip")


@dataclass(frozen=True, kw_only=True)
class RemoteFile:
    """One file to download.

    Args:
        url: Where it is.
        sha256: Its digest; null where nobody known to the card's author has computed it.
        md5: The digest that its publisher gives, where that is the one that is known.
        size: Of the file in bytes, where known.
        unpack: `tar` or `zip` for an archive whose content is wanted.
        note: What a reader of the card should know about this file.
    """

    url: str
    sha256: str | None = None
    md5: str | None = None
    size: int | None = None
    unpack: str | None = None
    note: str = ""

    @property
    def name(self) -> str:
        """The file's name, the last part of its URL."""
        return PurePosixPath(self.url.split("?")[0]).name

    @property
    def digest(self) -> str | None:
        """The digest to check as pooch writes it, the stronger one where there are two."""
        return f"sha256:{self.sha256}" if self.sha256 else f"md5:{self.md5}" if self.md5 else None


@dataclass(frozen=True, kw_only=True)
class Card:
    """A public data set.

    Args:
        name: The card's file name without its ending.
        title: One line.
        licence: Terms, and who states them.
        citation: What to cite.
        homepage: Where a person reads about it.
        layout: What is where in it, and how `index` reads it.
        files: What to download; none where an account or a signature is needed.
        mirror: Its folder in a local mirror.
        mirror_digest: The folder's `folder_digest` where this card was written; a mirror may
            hold more or less of the set, so another digest is news and no error.
        note: How to come by the files, oddities.
    """

    name: str
    title: str
    licence: str
    citation: str
    homepage: str
    layout: str
    files: tuple[RemoteFile, ...] = ()
    mirror: str
    mirror_digest: str | None = None
    note: str = ""


def read_card(path: Path) -> Card:
    """Read and check a card.

    Raises:
        DataError: If there is none, or it says something that no card says.
    """
    if not path.is_file():
        known = sorted(found.stem for found in path.parent.glob("*.yaml"))
        msg = f"there is no card {path}; {path.parent} has {known}"
        raise DataError(msg)
    try:
        tree = yaml.safe_load(path.read_text())
    except yaml.YAMLError as error:
        msg = f"{path} is no YAML: {error}"
        raise DataError(msg) from error
    _check_keys(Card, tree, str(path))
    files = tree.pop("files", [])
    for entry in files:
        _check_keys(RemoteFile, entry, f"{path}: files")
    card = Card(**tree, files=tuple(RemoteFile(**entry) for entry in files))
    _check(card, path)
    return card


def folder_digest(digests: Mapping[str, str]) -> str:
    """Return one SHA-256 over the sorted relative paths and the SHA-256 of each file."""
    lines = [f"{digests[path]}  {path}\n" for path in sorted(digests)]
    return hashlib.sha256("".join(lines).encode("utf-8", "surrogateescape")).hexdigest()


def is_inside(path: str) -> bool:
    """Return whether a relative path stays below the folder it is relative to."""
    pure = PurePosixPath(path.replace("\\", "/"))
    return bool(pure.parts) and not pure.is_absolute() and ".." not in pure.parts


def _check_keys(cls: type[Any], tree: Any, place: str) -> None:
    """Refuse what is no mapping of a dataclass's fields to values of their types."""
    if not isinstance(tree, dict):
        msg = f"{place}: expected keys and values, got {tree!r}"
        raise DataError(msg)
    known = {field.name: field for field in fields(cls)}
    if unknown := sorted(set(tree) - set(known)):
        msg = f"{place}: unknown {unknown}; expected some of {sorted(known)}"
        raise DataError(msg)
    required = {name for name, field in known.items() if field.default is MISSING}
    if missing := sorted(required - set(tree)):
        msg = f"{place}: {missing} must be said"
        raise DataError(msg)
    for name, value in tree.items():
        hint: Any = list if name == "files" else known[name].type
        if not isinstance(value, hint):
            msg = f"{place}: {name}: expected {hint}, got {value!r}"
            raise DataError(msg)


def _check(card: Card, path: Path) -> None:
    if card.name != path.stem:
        msg = f"{path}: its name must be the file's, {path.stem!r}, got {card.name!r}"
        raise DataError(msg)
    if not is_inside(card.mirror):
        msg = f"{path}: mirror must be a folder inside the mirror, got {card.mirror!r}"
        raise DataError(msg)
    for file in card.files:
        if not is_inside(file.name) or not file.url.startswith(("http://", "https://")):
            msg = f"{path}: expected an http(s) URL that ends with a file's name, got {file.url!r}"
            raise DataError(msg)
        if file.unpack is not None and file.unpack not in ARCHIVES:
            msg = f"{path}: unpack must be one of {ARCHIVES}, got {file.unpack!r}"
            raise DataError(msg)
