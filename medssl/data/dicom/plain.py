"""The elements of a plain DICOM header, without building a data set of it.

Indexing an archive is for the most part reading headers, and for the most part these are
alike: explicit little endian, ASCII, all within the first 256 KiB. Of such a header this takes the
elements that are asked for and steps over the others, in a quarter of pydicom's time. Of any
other it takes nothing, and pydicom reads it.

Source: DICOM PS3.5 2024, 6.2 (value representations), 7.1 (data elements), 7.5 (nested data
sets); PS3.10, 7.1 (file meta information).
"""

import struct
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from pydicom.datadict import tag_for_keyword
from pydicom.uid import ExplicitVRLittleEndian

HEAD_BYTES = 1 << 18
PIXELS = 0x7FE00010
ITEM, ITEM_END, SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
UNKNOWN = 0xFFFFFFFF
ESCAPE = b"\x1b"  # into another character set
LONG = {b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"}
NUMBERS = {b"US": "<H", b"SS": "<h", b"UL": "<L", b"SL": "<l", b"FL": "<f", b"FD": "<d"}
TEXTS = {b"AE", b"AS", b"CS", b"DA", b"DS", b"DT", b"IS", b"LO", b"PN", b"SH", b"TM", b"UI"}
KNOWN = LONG | NUMBERS.keys() | TEXTS | {b"AT", b"LT", b"ST"}
_ELEMENT = struct.Struct("<HH2sH")
_LENGTH = struct.Struct("<L")


def plain_header(path: Path, keywords: tuple[str, ...]) -> tuple[Mapping[str, Any], int] | None:
    """Return the values that a header gives to keywords, and where its pixel data begins.

    Values are text, numbers, or lists of several; what is not there is left out. The transfer
    syntax is among them.

    Returns:
        None if the header is not plain, or asks for more than this reads.
    """
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
    if head[128:132] != b"DICM":
        return None
    wanted = _tags(keywords)
    try:
        return _read(head, wanted)
    except (struct.error, UnicodeDecodeError, _NotPlainError):
        return None


class _NotPlainError(Exception):
    """The header is not one that is read here."""


def _read(head: bytes, wanted: Mapping[int, str]) -> tuple[dict[str, Any], int]:
    found: dict[str, Any] = {}
    for tag, vr, start, length in _elements(head, 132, wanted):
        if tag == PIXELS:
            if found.get("TransferSyntaxUID") != ExplicitVRLittleEndian:
                raise _NotPlainError
            return found, start
        if tag in wanted:
            value = _value(vr, head[start : start + length])
            if value is not None:
                found[wanted[tag]] = value
    raise _NotPlainError  # it has no pixels, or they begin further on


def _elements(
    head: bytes, place: int, wanted: Mapping[int, str]
) -> Iterator[tuple[int, bytes, int, int]]:
    """Yield tag, kind, place and length of each element; of the pixels where they begin."""
    before = 0
    while True:
        group, element, vr, length = _ELEMENT.unpack_from(head, place)
        tag = group << 16 | element
        if tag <= before:
            raise _NotPlainError
        before = tag
        if tag == PIXELS:
            yield tag, vr, place, 0
            return
        start = place + 8
        if vr in LONG:
            (length,) = _LENGTH.unpack_from(head, start)
            start += 4
        elif vr not in KNOWN:
            raise _NotPlainError
        if vr == b"SQ" and tag in wanted:
            raise _NotPlainError
        if length == UNKNOWN:
            place = _after_items(head, start)
        else:
            place = start + length
            yield tag, vr, start, length


def _after_items(head: bytes, place: int) -> int:
    """Return where a sequence of unknown length ends."""
    while True:
        group, element, _, _ = _ELEMENT.unpack_from(head, place)
        (length,) = _LENGTH.unpack_from(head, place + 4)
        tag, place = group << 16 | element, place + 8
        if tag == SEQUENCE_END:
            return place
        if tag != ITEM:
            raise _NotPlainError
        place = _after_item(head, place) if length == UNKNOWN else place + length


def _after_item(head: bytes, place: int) -> int:
    """Return where an item of unknown length ends."""
    while True:
        group, element, vr, length = _ELEMENT.unpack_from(head, place)
        place += 8
        if group << 16 | element == ITEM_END:
            return place
        if vr in LONG:
            (length,) = _LENGTH.unpack_from(head, place)
            place += 4
        elif vr not in KNOWN:
            raise _NotPlainError
        if length == UNKNOWN:
            raise _NotPlainError  # nested deeper than headers of slices are
        place += length


def _value(vr: bytes, data: bytes) -> Any:
    if vr in NUMBERS:
        size = struct.calcsize(NUMBERS[vr])
        if len(data) % size:
            raise _NotPlainError
        numbers = [number for (number,) in struct.iter_unpack(NUMBERS[vr], data)]
        return numbers[0] if len(numbers) == 1 else numbers or None
    if vr not in TEXTS or ESCAPE in data:
        raise _NotPlainError
    parts = [part.strip(" \0") for part in data.decode("ascii").split("\\")]
    return (parts if len(parts) > 1 else parts[0]) or None


@lru_cache
def _tags(keywords: tuple[str, ...]) -> Mapping[int, str]:
    """Return keywords by tag, with those of the file's meta information."""
    meta = ("TransferSyntaxUID", "MediaStorageSOPClassUID")
    return {int(tag_for_keyword(keyword) or 0): keyword for keyword in (*meta, *keywords)}
