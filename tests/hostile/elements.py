"""The elements of a DICOM file in explicit little-endian, found and set in its bytes."""

import struct
from dataclasses import dataclass

LONG = {b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"}
VRS = [
    b"AE", b"AS", b"AT", b"CS", b"DA", b"DS", b"DT", b"FL", b"FD", b"IS", b"LO", b"LT", b"PN",
    b"SH", b"SL", b"SS", b"ST", b"TM", b"UI", b"UL", b"US", *sorted(LONG), b"ZZ", b"\0\0",
]  # fmt: skip
UNDEFINED = 0xFFFFFFFF
ROWS, COLUMNS, PIXELS = (0x28, 0x10), (0x28, 0x11), (0x7FE0, 0x10)


@dataclass(frozen=True)
class Element:
    """Where an element stands: its first byte, its VR, its value's first byte and the end."""

    tag: tuple[int, int]
    start: int
    vr: bytes
    value: int
    end: int


def elements(content: bytes) -> list[Element]:
    """List the elements of a file in explicit little-endian, sequences as a whole."""
    found, place = [], 132 if content[128:132] == b"DICM" else 0
    while place + 8 <= len(content):
        group, number, vr, short = struct.unpack_from("<HH2sH", content, place)
        if vr in LONG:
            if place + 12 > len(content):
                break
            value, (length,) = place + 12, struct.unpack_from("<I", content, place + 8)
        else:
            value, length = place + 8, short
        if length == UNDEFINED:
            end = content.find(b"\xfe\xff\xdd\xe0\0\0\0\0", value) + 8
            end = len(content) if (group, number) == PIXELS or end < 8 else end
        else:
            end = value + length
        if vr not in VRS or end > len(content):
            break
        found.append(Element((group, number), place, vr, value, end))
        place = end
    return found


def element(tag: tuple[int, int], vr: bytes, value: bytes, length: int | None = None) -> bytes:
    """Return an element; its length may be another than that of its value."""
    length = len(value) if length is None else length
    head = struct.pack("<HH", *tag) + vr
    if vr in LONG:
        return head + struct.pack("<HI", 0, length) + value
    return head + struct.pack("<H", min(length, 0xFFFF)) + value[:0xFFFF]


def put(content: bytes, tag: tuple[int, int], vr: bytes, value: bytes) -> bytes:
    """Set an element, in its place or in a new one."""
    value += (
        b" " * (len(value) % 2) if vr in (b"DS", b"IS", b"CS", b"LO") else b"\0" * (len(value) % 2)
    )
    new = element(tag, vr, value)
    for known in elements(content):
        if known.tag == tag:
            return content[: known.start] + new + content[known.end :]
        if known.tag > tag:
            return content[: known.start] + new + content[known.start :]
    return content + new


def pixels_at(content: bytes) -> int:
    """Return where the pixels' element begins, or the last third of a file without one."""
    starts = [known.start for known in elements(content) if known.tag == PIXELS]
    return starts[0] if starts else 2 * len(content) // 3


def with_nested(content, tag, depth, *, is_undefined, is_ended=True):
    end = element((0x20, 0x13), b"IS", b"1 ")
    if is_undefined:
        head = element(tag, b"SQ", b"", UNDEFINED) + struct.pack("<HHI", 0xFFFE, 0xE000, UNDEFINED)
        tail = struct.pack("<HHIHHI", 0xFFFE, 0xE00D, 0, 0xFFFE, 0xE0DD, 0)
        new = head * depth + end + tail * (depth if is_ended else 0)
    else:
        sizes = [len(end) + 20 * level for level in range(depth)]
        heads = (
            element(tag, b"SQ", b"", size + 8) + struct.pack("<HHI", 0xFFFE, 0xE000, size)
            for size in reversed(sizes)
        )
        new = b"".join(heads) + (end if is_ended else b"")
    places = [known.start for known in elements(content) if known.tag >= tag]
    place = places[0] if places else len(content)
    return content[:place] + new + content[place:]
