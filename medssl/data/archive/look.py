"""One look at a file: what it says and holds, as far as no other file is needed to tell."""

import json
import os
from collections.abc import Container, Sequence
from dataclasses import astuple, dataclass, replace
from pathlib import Path
from typing import Any

from blake3 import blake3

from medssl.data.dicom.header import Content, Header, read_headers
from medssl.data.dicom.images import content_in
from medssl.data.dicom.kinds import require_slices
from medssl.data.dicom.native import Native
from medssl.data.dicom.plain import HEAD_BYTES, Beginning
from medssl.data.formats import is_laid_out, reader_of
from medssl.data.layouts import Held, Layout
from medssl.data.readers import FileReader
from medssl.data.verdicts import Code, RefusedError

CHUNK_BYTES = 1 << 20

# What a database keeps of a look.
Row = tuple[str | None, ...]


@dataclass(frozen=True)
class Look:
    """What was seen in a file.

    Args:
        digest: Of its bytes.
        headers: Of its images, if it holds slices.
        shape: Of its volume, frames included, if its name or its source says that it holds one.
        held: What it says of each of its cases, if its source has a layout.
        parts: The files that hold the rest of its voxels.
        series: What the files of one series share, as text.
        series_uid: The series, where it says.
        broken: The series that lacks an image since this file is damaged.
        lost: The instance UID of that image, which may be there intact in another file.
        refusal: Why it cannot be taken, whatever else is there.
    """

    digest: str
    headers: tuple[Header, ...] = ()
    shape: tuple[int, ...] = ()
    held: tuple[Held, ...] = ()
    parts: tuple[Path, ...] = ()
    series: str | None = None
    series_uid: str | None = None
    broken: str | None = None
    lost: str = ""
    refusal: tuple[Code, str] | None = None

    def row(self) -> Row:
        """Return it as a database keeps it."""
        code, sentence = self.refusal or (None, None)
        parts = json.dumps([os.fsencode(part).hex() for part in self.parts])
        found = json.dumps(
            {
                "shape": self.shape,
                "held": [astuple(held) for held in self.held],
                "lost": self.lost,
                "headers": [_fields(header) for header in self.headers],
            }
        )
        return (
            self.digest, self.series, self.series_uid, self.broken, code, sentence,
            parts if self.parts else None, found,
        )  # fmt: skip

    @classmethod
    def of(cls, row: Sequence[Any], path: Path) -> "Look":
        """Return what a database kept of the file."""
        digest, series, series_uid, broken, code, sentence, parts, found = row
        kept = json.loads(found)
        return cls(
            digest=digest,
            headers=headers_of(kept, path),
            shape=tuple(kept["shape"]),
            held=tuple(map(_held, kept["held"])),
            parts=_parts(parts),
            series=series,
            series_uid=series_uid,
            broken=broken,
            lost=kept["lost"],
            refusal=None if code is None else (Code(code), sentence),
        )


@dataclass(frozen=True)
class Due:
    """A file that is to be looked at.

    Args:
        path: The file.
        size_bytes: Of its content.
        known: Its digest at an earlier look, if only its date is another.
        layout: What it holds, as its source says.
    """

    path: Path
    size_bytes: int
    known: str | None
    layout: Layout | None = None


def look_at_all(batch: Sequence[Due]) -> list[tuple[bytes, Row | None]]:
    """Look at files; return of each its path and what a database keeps of the look.

    That is none for a file whose digest is the one that is known. Each is read once: its bytes
    are hashed, its header is parsed, and if it holds one slice, that is decoded and hashed, too,
    so that a volume is known without its files being read again.
    """
    buffer = memoryview(bytearray(CHUNK_BYTES))
    looks = [(due.path, _look_at(due, buffer)) for due in batch]
    return [(os.fsencode(path), None if look is None else look.row()) for path, look in looks]


def _look_at(due: Due, buffer: memoryview) -> Look | None:
    path = due.path
    try:
        digest, beginning, content = _read(path, buffer)
    except RefusedError as refusal:
        return Look("", refusal=(refusal.code, refusal.sentence))
    if digest == due.known:
        return None
    reader = reader_of(path.name)
    try:
        if is_laid_out(path.name):
            return _laid_out(path, due.layout, digest)
        return (
            _volume(path, reader, digest) if reader else _slices(path, beginning, content, digest)
        )
    except RefusedError as refusal:
        return Look(digest, refusal=(refusal.code, refusal.sentence))


def _read(path: Path, buffer: memoryview) -> tuple[str, Beginning, memoryview | None]:
    """Hash a file's bytes, and return how they begin, and all if the buffer holds them.

    What is no regular file is never opened: it might not end.
    """
    try:
        if path.is_dir() and not path.is_symlink():  # as `walk` found it
            sentence = (
                "a folder whose files could not be listed, so that none of them is counted; have "
                "its owner allow it and index again"
            )
            raise RefusedError(Code.UNLISTED_FOLDER, sentence)
        if not path.is_file():
            sentence = "a link that leads to no file, or no regular file"
            raise RefusedError(Code.UNREADABLE, sentence)
        # Not mapped into memory: a file that is cut meanwhile would end the process.
        with path.open("rb", buffering=0) as file:
            size_bytes = file.readinto(buffer)
            state = blake3(buffer[:size_bytes])
            begun = buffer[: min(size_bytes, HEAD_BYTES)]
            rest = buffer[HEAD_BYTES:]
            while size_bytes >= len(buffer) and (count := file.readinto(rest)):
                state.update(rest[:count])
                size_bytes += count
        content = buffer[:size_bytes] if size_bytes < len(buffer) else None
        return state.hexdigest(), Beginning(begun, size_bytes), content
    except PermissionError as error:
        raise RefusedError(Code.UNREADABLE, "reading it is not permitted") from error
    except OSError as error:
        sentence = f"it cannot be read: {error.strerror}"
        raise RefusedError(Code.UNREADABLE, sentence) from error


def _volume(path: Path, reader: FileReader, digest: str) -> Look:
    shape, _ = reader.grid(path)
    return Look(digest, shape=shape, parts=reader.parts(path))


def _laid_out(path: Path, layout: Layout | None, digest: str) -> Look:
    if layout is None or not path.name.lower().endswith(layout.suffixes):
        sentence = "a file of arrays, of which its source's layout does not say what they are"
        raise RefusedError(Code.UNSUPPORTED, sentence)
    shape, _ = layout.grid(path)
    return Look(digest, shape=shape, held=layout.held(path))


def _slices(path: Path, beginning: Beginning, content: memoryview | None, digest: str) -> Look:
    if beginning.size_bytes == 0:
        raise RefusedError(Code.NOT_AN_IMAGE, "an empty file")
    headers = read_headers(path, beginning=beginning)
    first = headers[0]
    series = json.dumps(first.series_key)
    try:
        require_slices(headers)
    except RefusedError as refusal:
        is_broken = refusal.code is Code.TRUNCATED and first.series_uid
        return Look(
            digest,
            series_uid=first.series_uid,
            broken=series if is_broken else None,
            lost=first.sop_uid,
            refusal=(refusal.code, refusal.sentence),
        )
    seen = tuple(replace(header, content=content_in(header, content)) for header in headers)
    return Look(digest, headers=seen, series=series, series_uid=first.series_uid)


def _held(kept: Sequence[Any]) -> Held:
    name, split, classes, has_label = kept
    return Held(name=name, split=split, classes=tuple(classes), has_label=has_label)


def headers_of(
    found: dict[str, Any], path: Path, only: Container[int | None] | None = None
) -> tuple[Header, ...]:
    """Return the headers that a database kept of the file, or of some of its images alone."""
    kept = found["headers"]
    return tuple(_header(one, path) for one in kept if only is None or one["image"] in only)


def _parts(text: str | None) -> tuple[Path, ...]:
    if text is None:
        return ()
    return tuple(Path(os.fsdecode(bytes.fromhex(part))) for part in json.loads(text))


def _fields(header: Header) -> dict[str, Any]:
    fields = dict(vars(header))
    del fields["path"]
    return fields


def _header(kept: dict[str, Any], path: Path) -> Header:
    """Return a header with tuples where JSON has lists."""
    fields: dict[str, Any] = {n: tuple(v) if type(v) is list else v for n, v in kept.items()}
    fields["contrast"] = (tuple(kept["contrast"][0]), *kept["contrast"][1:])
    fields["moments"] = {n: tuple(v) if type(v) is list else v for n, v in kept["moments"].items()}
    fields["native"] = kept["native"] and Native(*kept["native"])
    fields["content"] = kept["content"] and Content(*kept["content"])
    return Header(**fields, path=path)
