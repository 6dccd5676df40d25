"""Changes of a DICOM file that touch neither its pixels nor where they are, by family."""

import random
import struct

from hostile.elements import COLUMNS, PIXELS, ROWS, element, put, with_nested

WORDS = [b"Doe^Jane", b"\xff\xfe\x80", b"", b"x" * 4000, b"\\\\", b"\0\0", b"1e999", b"../../etc"]
FREE = [  # what no case depends on
    ((0x08, 0x20), b"DA"), ((0x08, 0x30), b"TM"), ((0x08, 0x50), b"SH"), ((0x08, 0x80), b"LO"),
    ((0x08, 0x90), b"PN"), ((0x08, 0x1030), b"LO"), ((0x08, 0x103E), b"LO"), ((0x10, 0x10), b"PN"),
    ((0x10, 0x30), b"DA"), ((0x10, 0x1030), b"DS"), ((0x10, 0x4000), b"LT"), ((0x18, 0x50), b"DS"),
    ((0x18, 0x1150), b"IS"), ((0x20, 0x4000), b"LT"), ((0x28, 0x1050), b"DS"),
]  # fmt: skip


def change(family, content, seed):
    """Return the file with a harmless change."""
    return FAMILIES[family](content, random.Random(f"{family} {seed}"))


def preamble(content, rng):
    return rng.randbytes(128) + content[128:]


def words(content, rng):
    """Put what does not belong there into elements that no case depends on."""
    for tag, vr in rng.sample(FREE, 3):
        content = put(content, tag, vr, rng.choice([*WORDS, rng.randbytes(50)]))
    return content


def wrong_kind(content, rng):
    """Say that such an element is of another kind."""
    tag, _ = rng.choice(FREE)
    return put(content, tag, rng.choice([b"UN", b"UT", b"LT", b"OB", b"US"]), rng.randbytes(6))


def charset(content, rng):
    content = put(content, (0x08, 0x05), b"CS", rng.choice([b"nonsense", b"ISO_IR 192", b"\\"]))
    return put(content, (0x10, 0x10), b"PN", rng.randbytes(30))


def private(content, rng):
    content = put(content, (0x09, 0x10), b"LO", b"SOME MAKER")
    return put(content, (0x09, 0x1001), rng.choice([b"UN", b"OB", b"LO"]), rng.randbytes(500))


def nested(content, rng):
    """Put in a private sequence of sequences."""
    depth, is_undefined = rng.choice([1, 2, 10, 100]), rng.random() < 0.5
    return with_nested(content, (0x29, 0x2010), depth, is_undefined=is_undefined)


def icon(content, rng):
    """Put in a picture of the picture, whose elements have the names of the picture's own."""
    inner = b"".join(
        element(tag, vr, value)
        for tag, vr, value in (
            (ROWS, b"US", struct.pack("<H", 64)),
            (COLUMNS, b"US", struct.pack("<H", 64)),
            (PIXELS, b"OB", rng.randbytes(64 * 64)),
        )
    )
    item = struct.pack("<HHI", 0xFFFE, 0xE000, len(inner)) + inner
    return put(content, (0x88, 0x200), b"SQ", item)


def group_length(content, rng):
    value = struct.pack("<I", rng.choice([0, 1, 1000, 2**32 - 1]))
    return put(content, (rng.choice([0x08, 0x10, 0x20]), 0), b"UL", value)


def tail(content, rng):
    """Put something behind the pixels."""
    rest = rng.choice([b"\0" * 1000, b"\0" * 7, rng.randbytes(100)])
    return content + element((0xFFFC, 0xFFFC), b"OB", rest + b"\0" * (len(rest) % 2))


FAMILIES = {
    function.__name__: function
    for function in (
        preamble, words, wrong_kind, charset, private, nested, icon, group_length, tail,
    )
}  # fmt: skip
