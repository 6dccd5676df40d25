"""Hostile DICOM files: seeded changes of a good one's bytes, by family.

`mutate(family, content, seed)` gives the same bytes for the same arguments. Families know DICOM's
explicit little-endian elements; of files in other encodings only the bytes are changed.
"""

import random
import struct
import zlib

from hostile.elements import (
    COLUMNS,
    LONG,
    ROWS,
    UNDEFINED,
    VRS,
    element,
    elements,
    pixels_at,
    put,
    with_nested,
)  # fmt: skip

LENGTHS = [0, 1, 2, 3, 7, 0xFFFE, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, UNDEFINED]
DEFLATED = "1.2.840.10008.1.2.1.99"
SYNTAXES = [
    "1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2", DEFLATED,
    *(f"1.2.840.10008.1.2.4.{n}" for n in (50, 51, 57, 70, 80, 81, 90, 91, 102, 201, 202, 203)),
    "1.2.840.10008.1.2.5", "1.2.3", "", "1.2.840.10008.5.1.4.1.1.2", "no UID at all",
]  # fmt: skip
SIZES = {
    (0x28, 0x02): b"US",  # samples
    ROWS: b"US",
    COLUMNS: b"US",
    (0x28, 0x100): b"US",  # bits allocated
    (0x28, 0x101): b"US",  # bits stored
    (0x28, 0x102): b"US",  # high bit
    (0x28, 0x103): b"US",  # pixel representation
    (0x28, 0x08): b"IS",  # frames
}
SHORTS = [0, 1, 2, 7, 8, 9, 12, 16, 17, 32, 64, 255, 8192, 32767, 32768, 65535]
TEXTS = [
    b"", b"0", b"-1", b"1e999", b"-1e999", b"1e-999999999", b"NaN", b"inf", b"1,5", b"2147483648",
    b"99999999999999999999999999999999", b"1e308", b"0x10", b"\\", b"\\\\\\\\\\\\\\\\", b" ", b"\0",
    b"1\\2\\3\\4\\5\\6\\7", b"1_0", b"\xb2", b"\xd9\xa1", b"text", b"1" * 5000, b"1.\0005",
]  # fmt: skip
NUMBERS = [
    (0x20, 0x32), (0x20, 0x37), (0x28, 0x30), (0x28, 0x1052), (0x28, 0x1053), (0x18, 0x88),
    (0x18, 0x81), (0x18, 0x50), (0x20, 0x13), (0x20, 0x12), (0x20, 0x11), (0x28, 0x08),
    (0x18, 0x9087), (0x20, 0x100), (0x18, 0x1060), (0x18, 0x60),
]  # fmt: skip
CHARSETS = [
    b"ISO_IR 192",
    b"ISO 2022 IR 87",
    b"\\ISO 2022 IR 149",
    b"GB18030",
    b"nonsense",
    b"\\" * 9,
]
NESTED = [(0x5200, 0x9229), (0x5200, 0x9230), (0x08, 0x1140), (0x29, 0x1010), (0x20, 0x9222)]


def mutate(family: str, content: bytes, seed: int) -> bytes:
    """Return another file: one of a family."""
    return FAMILIES[family](content, random.Random(f"{family} {seed}"))


def _flip(content, rng, start, stop):
    changed = bytearray(content)
    for _ in range(rng.choice([1, 1, 2, 8, 64])):
        changed[rng.randrange(start, stop)] ^= 1 << rng.randrange(8)
    return bytes(changed)


def flip_meta(content, rng):
    return _flip(content, rng, 128, min(400, len(content)))


def flip_header(content, rng):
    return _flip(content, rng, 132, pixels_at(content))


def flip_pixels(content, rng):
    return _flip(content, rng, pixels_at(content), len(content))


def flip_start_of_pixels(content, rng):
    start = pixels_at(content)
    return _flip(content, rng, start, min(start + 200, len(content)))


def overwrite(content, rng):
    start, size = rng.randrange(len(content)), rng.choice([1, 2, 4, 16, 256])
    filler = rng.choice([b"\0", b"\xff", rng.randbytes(1)]) * size
    return content[:start] + filler + content[start + size :]


def remove(content, rng):
    start, size = rng.randrange(len(content)), rng.choice([1, 2, 4, 16, 256])
    return content[:start] + content[start + size :]


def insert(content, rng):
    start = rng.randrange(len(content))
    return content[:start] + rng.randbytes(rng.choice([1, 2, 8, 300])) + content[start:]


def truncate(content, rng):
    ends = [known.start + rng.choice([0, 1, 4, 6, 8, 11]) for known in elements(content)]
    return content[
        : rng.choice([rng.randrange(len(content)), *rng.sample(ends, min(3, len(ends)))])
    ]


def length(content, rng):
    known = elements(content)
    if not known:
        return overwrite(content, rng)
    one = rng.choice(known)
    if one.vr in LONG:
        new = rng.choice([*LENGTHS, one.end - one.value + 1, len(content)])
        return content[: one.value - 4] + struct.pack("<I", new) + content[one.value :]
    new = rng.choice([*LENGTHS, one.end - one.value + 1]) & 0xFFFF
    return content[: one.value - 2] + struct.pack("<H", new) + content[one.value :]


def item_length(content, rng):
    """Set the length of an item of a sequence, a fragment or a table of offsets, or an offset."""
    places, place = [], content.find(b"\xfe\xff\x00\xe0", 132)
    while place >= 0:
        places.append(place)
        place = content.find(b"\xfe\xff\x00\xe0", place + 4)
    if not places:
        return length(content, rng)
    start = rng.choice(places) + rng.choice([4, 4, 8])
    return content[:start] + struct.pack("<I", rng.choice(LENGTHS)) + content[start + 4 :]


def nest(content, rng):
    """Put sequences into sequences, with or without lengths, with or without an end."""
    depth, tag = rng.choice([3, 50, 400, 3000, 10_000]), rng.choice(NESTED)
    return with_nested(
        content, tag, depth, is_undefined=rng.random() < 0.7, is_ended=rng.random() < 0.6
    )


def size(content, rng):
    for tag in rng.sample(sorted(SIZES), rng.choice([1, 1, 2, 3])):
        if SIZES[tag] == b"US":
            content = put(content, tag, b"US", struct.pack("<H", rng.choice(SHORTS)))
        else:
            content = put(
                content, tag, b"IS", rng.choice([b"2", b"1000000", b"2147483647", *TEXTS])
            )
    return content


def vr(content, rng):
    known = elements(content)
    if not known:
        return overwrite(content, rng)
    one, new = rng.choice(known), rng.choice(VRS)
    if rng.random() < 0.5:  # only the name, so that the length may be read elsewhere
        return content[: one.start + 4] + new + content[one.start + 6 :]
    return (
        content[: one.start]
        + element(one.tag, new, content[one.value : one.end])
        + content[one.end :]
    )


def syntax(content, rng):
    return put(content, (0x02, 0x10), b"UI", rng.choice(SYNTAXES).encode())


def sop_class(content, rng):
    names = [
        "1.2.840.10008.5.1.4.1.1.2.1",
        "1.2.840.10008.5.1.4.1.1.4.1",
        "1.2.840.10008.5.1.4.1.1.66.4",
    ]
    return put(content, (0x08, 0x16), b"UI", rng.choice([*names, "", "1.2.3"]).encode())


def charset(content, rng):
    content = put(content, (0x08, 0x05), b"CS", rng.choice(CHARSETS))
    for tag in rng.sample(
        [(0x10, 0x10), (0x08, 0x70), (0x18, 0x15), (0x10, 0x20), (0x10, 0x40)], 2
    ):
        content = put(
            content, tag, b"LO", rng.choice([b"\xff\xfe\x80", b"\x1b$B\x1b", rng.randbytes(64)])
        )
    return content


def numbers(content, rng):
    for tag in rng.sample(NUMBERS, rng.choice([1, 1, 3])):
        vr_of = rng.choice([b"DS", b"DS", b"IS", b"FD", b"LO", b"UN"])
        text = rng.choice([*TEXTS, b"\\".join(rng.choices(TEXTS[:12], k=rng.choice([2, 3, 6])))])
        value = struct.pack("<d", rng.choice([float("nan"), float("inf"), 1e308, -0.0, 5e-324]))
        content = put(content, tag, vr_of, value if vr_of == b"FD" else text)
    return content


def order(content, rng):
    """Put elements in another order, twice, or leave some out."""
    known = [one for one in elements(content) if one.tag[0] != 2]
    if len(known) < 2:
        return remove(content, rng)
    one, two = rng.choice(known), rng.choice(known)
    piece = content[one.start : one.end]
    if rng.random() < 0.5:
        return content[: two.start] + piece + content[two.start :]
    return content[: one.start] + content[one.end :]


def codestream(content, rng):
    """Have the head of a compressed frame promise another size."""
    start = pixels_at(content)
    for marker, skip in (
        (b"\xff\x4f\xff\x51", 8),
        (b"\xff\xc0", 5),
        (b"\xff\xc3", 5),
        (b"\xff\xf7", 5),
    ):
        place = content.find(marker, start)
        if place >= 0:
            big = rng.choice([0, 1, 60_000, 65_535, 2**31 - 1, UNDEFINED])
            form = "<>"[1] + ("I" if skip == 8 else "H")
            new = struct.pack(form, big if skip == 8 else big & 0xFFFF)
            at = place + skip + rng.choice([0, len(new)])
            return content[:at] + new + content[at + len(new) :]
    return flip_start_of_pixels(content, rng)


def deflate(content, rng):
    """Say that the data set is deflated: rightly, cut off, or with much more behind."""
    known = elements(content)
    starts = [one.start for one in known if one.tag[0] > 2]
    if not starts:
        return overwrite(content, rng)
    bulk = rng.choice([0, 1_000, 30_000_000])
    packer = zlib.compressobj(wbits=-15)
    packed = packer.compress(content[starts[0] :] + b"\0" * bulk) + packer.flush()
    packed = packed[: rng.choice([len(packed), rng.randrange(len(packed))])]
    said = put(content[: starts[0]], (0x02, 0x10), b"UI", DEFLATED.encode())
    return put(said, (0x02, 0x00), b"UL", struct.pack("<I", len(said) - 144)) + packed


FAMILIES = {
    function.__name__: function
    for function in (
        flip_meta, flip_header, flip_pixels, flip_start_of_pixels, overwrite, remove, insert,
        truncate, length, item_length, nest, size, vr, syntax, sop_class, charset, numbers, order,
        codestream, deflate,
    )
}  # fmt: skip
