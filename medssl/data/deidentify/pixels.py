"""The pixels of a copy: byte for byte those of the file, without what is said beside them.

Anything may stand behind the pixels that rows and columns promise, and in comments and at the end
of compressed images. The first is cut off, the second is blanked: no length, no offset and no pixel
changes.

Source: DICOM PS3.5 2024, 8 and Annex A.4; ITU-T T.81, B.2.4 (JPEG and JPEG-LS markers); ITU-T
T.800, A.9 (JPEG 2000 comments).
"""

import re
import struct
from collections.abc import Iterator

import pydicom
from pydicom.dataelem import DataElement
from pydicom.uid import UID

START_OF_SCAN, START_OF_TILE, START_OF_DATA, END = 0xDA, 0x90, 0x93, 0xD9
# What may follow 255 within the coded data of a scan is no marker (JPEG: 0, D0 to D7; LS: < 80).
MARKER = re.compile(rb"\xff[\x80-\xcf\xd8-\xfe]")
COMMENT_2000 = 0x64
# Comments and all applications' segments but JFIF's, JPEG-LS' and Adobe's, which decoders read.
BLANKED = {0xFE, *range(0xE1, 0xE8), *range(0xE9, 0xEE), 0xEF}
ITEM = b"\xfe\xff\x00\xe0"


def pixels(found: pydicom.Dataset, syntax: UID) -> DataElement:
    """Return the pixel data of a copy."""
    element = found["PixelData"]
    if not syntax.is_encapsulated:
        kept = element.value[: _promised_bytes(found)]
        return DataElement(element.tag, element.VR, kept + b"\0" * (len(kept) % 2))
    copy = DataElement(element.tag, "OB", blanked(element.value))
    copy.is_undefined_length = True
    return copy


def blanked(encapsulated: bytes) -> bytes:
    """Return encapsulated frames with blanks in place of comments."""
    content = bytearray(encapsulated)
    for start, stop in _fragments(encapsulated):
        match encapsulated[start : start + 2]:
            case b"\xff\xd8":
                spans = _in_jpeg(encapsulated, start, stop)
            case b"\xff\x4f":
                spans = _in_jpeg_2000(encapsulated, start, stop)
            case _:
                continue
        for first, last in spans:
            content[first:last] = bytes(last - first)
    return bytes(content)


def _promised_bytes(found: pydicom.Dataset) -> int:
    numbers = (found.Rows, found.Columns, found.get("SamplesPerPixel") or 1)
    bits = int(found.get("NumberOfFrames") or 1) * int(found.BitsAllocated)
    for number in numbers:
        bits *= int(number)
    return -(-bits // 8)


def _fragments(encapsulated: bytes) -> Iterator[tuple[int, int]]:
    place = 0
    while encapsulated[place : place + 4] == ITEM:
        (length,) = struct.unpack_from("<I", encapsulated, place + 4)
        yield place + 8, min(place + 8 + length, len(encapsulated))
        place += 8 + length


def _segments(content: bytes, place: int, stop: int) -> Iterator[tuple[int, int, int]]:
    """Yield marker, start and stop of each segment's content, as long as one follows another."""
    while place + 4 <= stop and content[place] == 0xFF:
        (length,) = struct.unpack_from(">H", content, place + 2)
        yield content[place + 1], place + 4, min(place + 2 + length, stop)
        place += 2 + length


def _in_jpeg(content: bytes, start: int, stop: int) -> Iterator[tuple[int, int]]:
    place = start + 2
    while True:
        for marker, first, last in _segments(content, place, stop):
            if marker in BLANKED:
                yield first, last
            if marker in (START_OF_SCAN, END):
                break
        else:
            return
        if marker == END:
            yield first - 2, stop
            return
        following = MARKER.search(content, last, stop)
        if following is None:
            return
        place = following.start()


def _in_jpeg_2000(content: bytes, start: int, stop: int) -> Iterator[tuple[int, int]]:
    place = start + 2
    while place < stop:
        tile, length = place, 0
        for marker, first, last in _segments(content, place, stop):
            if marker == START_OF_TILE:
                tile = first - 4
                (length,) = struct.unpack_from(">I", content, first + 2)
            if marker == COMMENT_2000:
                yield min(first + 2, last), last
            if marker == END:
                yield first - 2, stop
            if marker in (START_OF_DATA, END):
                break
        if not length:
            return
        place = tile + length
