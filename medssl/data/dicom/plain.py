"""The elements of a plain DICOM header, without building a data set of it.

Indexing an archive is for the most part reading headers, and for the most part these are
alike: explicit little endian, ASCII, all within the first 256 KiB. Of such a header this takes the
elements that are asked for and steps over the others, in a seventh of pydicom's time. Of any
other it takes nothing, and pydicom reads it.

Source: DICOM PS3.5 2024, 6.2 (value representations), 7.1 (data elements), 7.5 (nested data
sets); PS3.10, 7.1 (file meta information).
"""

import struct
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from pydicom.datadict import tag_for_keyword
from pydicom.uid import ExplicitVRLittleEndian

HEAD_BYTES = 1 << 18
PIXELS = 0x7FE00010
ITEM, ITEM_END, SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
UNKNOWN = 0xFFFFFFFF
ESCAPE = "\x1b"  # into another character set
_ELEMENT = struct.Struct("<HHHH")
_LENGTH = struct.Struct("<L")


def _code(vr: str) -> int:
    """Return the two letters of a kind as the number that they are in the file."""
    return int.from_bytes(vr.encode(), "little")


NUMBERS = {
    _code(vr): struct.Struct(form)
    for vr, form in {
        "US": "<H", "SS": "<h", "UL": "<L", "SL": "<l", "FL": "<f", "FD": "<d"
    }.items()
}  # fmt: skip
TEXTS = {*map(_code, ("AE", "AS", "CS", "DA", "DS", "DT", "IS", "LO", "PN", "SH", "TM", "UI"))}
SHORT = NUMBERS.keys() | TEXTS | {*map(_code, ("AT", "LT", "ST"))}
LONG = {*map(_code, ("OB", "OD", "OF", "OL", "OV", "OW", "SQ", "SV", "UC", "UN", "UR", "UT", "UV"))}
# Whether the length of a kind is written with 32 bits.
IS_LONG = dict.fromkeys(SHORT, False) | dict.fromkeys(LONG, True)


class Beginning(NamedTuple):
    """How a file begins.

    Args:
        content: Its first 256 KiB, or all of it.
        size_bytes: Of the whole file.
    """

    content: memoryview
    size_bytes: int


def read_beginning(path: Path) -> Beginning:
    """Read the beginning of a file."""
    with path.open("rb", buffering=0) as file:
        return Beginning(memoryview(file.read(HEAD_BYTES)), path.stat().st_size)


def plain_header(
    content: memoryview, keywords: tuple[str, ...]
) -> tuple[Mapping[str, Any], int] | None:
    """Return the values that a header gives to keywords, and where its pixel data begins.

    Values are text, numbers, or lists of several; what is not there is left out. The transfer
    syntax is among them.

    Args:
        content: The beginning of the file.
        keywords: What is asked for.

    Returns:
        None if the header is not plain, or asks for more than this reads.
    """
    if bytes(content[128:132]) != b"DICM":
        return None
    try:
        return _read(content, _tags(keywords))
    except (struct.error, UnicodeDecodeError, KeyError, _NotPlainError):
        return None


class _NotPlainError(Exception):
    """The header is not one that is read here."""


def _read(content: memoryview, wanted: Mapping[int, str]) -> tuple[dict[str, Any], int]:
    """Step from element to element; one loop, since a header has a hundred of them."""
    found: dict[str, Any] = {}
    place, before = 132, 0
    while True:
        group, element, vr, length = _ELEMENT.unpack_from(content, place)
        tag = group << 16 | element
        if tag <= before or tag == PIXELS:
            break
        before = tag
        place += 8
        if IS_LONG[vr]:
            (length,) = _LENGTH.unpack_from(content, place)
            place += 4
        if tag in wanted and (value := _value(vr, content[place : place + length])) is not None:
            found[wanted[tag]] = value
        place = _after_items(content, place) if length == UNKNOWN else place + length
    if tag != PIXELS or found.get("TransferSyntaxUID") != ExplicitVRLittleEndian:
        raise _NotPlainError
    return found, place


def _after_items(content: memoryview, place: int) -> int:
    """Return where a sequence of unknown length ends."""
    while True:
        group, element, _, _ = _ELEMENT.unpack_from(content, place)
        (length,) = _LENGTH.unpack_from(content, place + 4)
        tag, place = group << 16 | element, place + 8
        if tag == SEQUENCE_END:
            return place
        if tag != ITEM:
            raise _NotPlainError
        place = _after_item(content, place) if length == UNKNOWN else place + length


def _after_item(content: memoryview, place: int) -> int:
    """Return where an item of unknown length ends."""
    while True:
        group, element, vr, length = _ELEMENT.unpack_from(content, place)
        place += 8
        if group << 16 | element == ITEM_END:
            return place
        if IS_LONG[vr]:
            (length,) = _LENGTH.unpack_from(content, place)
            place += 4
        if length == UNKNOWN:  # nested deeper than headers of slices are
            raise _NotPlainError
        place += length


def _value(vr: int, data: memoryview) -> Any:
    if vr in NUMBERS:
        if len(data) % NUMBERS[vr].size:
            raise _NotPlainError
        numbers = [number for (number,) in NUMBERS[vr].iter_unpack(data)]
        return numbers[0] if len(numbers) == 1 else numbers or None
    if vr not in TEXTS:
        raise _NotPlainError
    text = str(data, "ascii")
    if ESCAPE in text:
        raise _NotPlainError
    if "\\" in text:
        return [part.strip(" \0") for part in text.split("\\")]
    return text.strip(" \0") or None


@lru_cache
def _tags(keywords: tuple[str, ...]) -> Mapping[int, str]:
    """Return keywords by tag, with those of the file's meta information."""
    meta = ("TransferSyntaxUID", "MediaStorageSOPClassUID")
    return {int(tag_for_keyword(keyword) or 0): keyword for keyword in (*meta, *keywords)}
