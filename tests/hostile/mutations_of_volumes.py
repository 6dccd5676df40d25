"""Hostile NIfTI, NRRD and MetaImage files: seeded changes of good ones, by family.

`mutate(family, name, content, seed)` gives the same bytes for the same arguments.
"""

import gzip
import random
import re
import struct

# Of NIfTI-1: shape, datatype, bits, steps, offset, slope, codes, quaternion and rows, magic.
DIMENSIONS, DATATYPE, OFFSET = 40, 70, 108
FIELDS = [*range(40, 124, 2), *range(252, 328, 4), 344, 346]
SHORTS = [0, 1, -1, 2, 5, 7, 8, 100, 32767, -32768]
FLOATS = [0.0, -1.0, float("nan"), float("inf"), 1e38, -1e38, 1e-40, 352.5, 2.0**31]
DATATYPES = [0, 1, 2, 4, 8, 16, 32, 64, 128, 255, 256, 512, 768, 1024, 1280, 1536, 1792, 2048, 2304]
NUMBERS = [
    "0", "-1", "1", "99999", "2147483648", "4294967297", "18446744073709551617", "1e308", "nan",
    "inf", "", "x", "6 6 6 6 6 6", "1" * 5000,
]  # fmt: skip
ELSEWHERE = [
    "../neighbor.raw", "/etc/passwd", "/dev/zero", "fifo", "link.raw", "LIST", "%d.raw 1 9 1",
    "", ".",
    "~/x", "http://localhost/x", "voxels.raw\0.raw", "x" * 5000, "LOCAL", "local", "-",
]  # fmt: skip


def mutate(family: str, name: str, content: bytes, seed: int) -> bytes:
    """Return another file: one of a family, in the format that the name says."""
    return FAMILIES[family](name, content, random.Random(f"{family} {seed}"))


def _unpacked(name, content):
    return gzip.decompress(content) if name.endswith(".gz") else content


def _packed(name, content):
    return gzip.compress(content, 1, mtime=0) if name.endswith(".gz") else content


def _head(name, content):
    """Return how long the header is."""
    if ".nii" in name:
        return min(352, len(content))
    return max(content.find(b"\n\n"), content.find(b"LOCAL"), min(len(content), 400))


def flip(name, content, rng):
    changed = bytearray(content)
    for _ in range(rng.choice([1, 2, 8, 64])):
        changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def flip_header(name, content, rng):
    changed = bytearray(_unpacked(name, content))
    for _ in range(rng.choice([1, 1, 2, 8])):
        changed[rng.randrange(_head(name, changed))] ^= 1 << rng.randrange(8)
    return _packed(name, bytes(changed))


def truncate(name, content, rng):
    return content[: rng.randrange(len(content))]


def truncate_inside(name, content, rng):
    plain = _unpacked(name, content)
    return _packed(name, plain[: rng.randrange(len(plain))])


def overwrite(name, content, rng):
    plain, size = _unpacked(name, content), rng.choice([1, 4, 64])
    start = rng.randrange(_head(name, plain))
    filler = rng.choice([b"\0", b"\xff", b"9", b"\n", rng.randbytes(1)]) * size
    return _packed(name, plain[:start] + filler + plain[start + size :])


def field(name, content, rng):
    """Set fields of the header to what they should not be."""
    plain = _unpacked(name, content)
    for _ in range(rng.choice([1, 1, 3])):
        plain = _binary_field(plain, rng) if ".nii" in name else _text_field(plain, rng)
    return _packed(name, plain)


def _binary_field(plain, rng):
    place = rng.choice([*range(DIMENSIONS, DIMENSIONS + 16, 2), DATATYPE, OFFSET, *FIELDS])
    if place == DATATYPE:
        new = struct.pack("<h", rng.choice(DATATYPES))
    elif place < 76 or place in (252, 344, 346):
        new = struct.pack("<h", rng.choice(SHORTS))
    else:
        new = struct.pack("<f", rng.choice(FLOATS))
    return plain[:place] + new + plain[place + len(new) :]


def _text_field(plain, rng):
    lines = plain[: _head("", plain)].split(b"\n")
    row = rng.randrange(len(lines))
    mark = b"=" if b"=" in lines[row] else b":"
    key, _, value = lines[row].partition(mark)
    words = re.split(rb"(\W+)", value)
    if rng.random() < 0.7:
        words[rng.randrange(len(words))] = rng.choice(NUMBERS).encode()
    else:
        words = [b" ", rng.choice(NUMBERS).encode()]
    lines[row] = key + mark + b"".join(words)
    rng.random() < 0.2 and lines.insert(rng.randrange(len(lines)), lines[row])
    return b"\n".join(lines) + plain[_head("", plain) :]


def dimensions(name, content, rng):
    """Promise more voxels than there are, in numbers whose product may overflow."""
    plain = _unpacked(name, content)
    if ".nii" in name:
        shape = rng.choices([1, 2, 7, 2000, 32767], k=rng.choice([3, 4, 7]))
        new = struct.pack("<8h", len(shape), *shape, *[1] * (7 - len(shape)))
        return _packed(name, plain[:40] + new + plain[56:])
    shape = rng.choices(["1", "7", "65536", "4294967296", "2097152", "9223372036854775807"], k=3)
    pattern = rb"((?:DimSize =|sizes:) ).*"
    return re.sub(pattern, lambda match: match[1] + " ".join(shape).encode(), plain)


def elsewhere(name, content, rng):
    """Name another file of voxels: one that is none of the volume's business, or no file."""
    plain, other = _unpacked(name, content), rng.choice(ELSEWHERE).encode()
    if name.endswith((".mha", ".mhd")):
        key = rng.choice([b"ElementDataFile = ", b"ElementDataFile: ", b"ElementDataFile =\t"])
        return re.sub(rb"ElementDataFile = .*", lambda _: key + other, plain, count=1)
    key = rng.choice([b"data file: ", b"datafile: ", b"Data File: ", b"data file:\t"])
    if b"data file: " in plain:
        return re.sub(rb"data file: .*", lambda _: key + other, plain, count=1)
    return plain.replace(b"encoding:", key + other + b"\nencoding:", 1)


def bomb(name, content, rng):
    """Pack a thousand times as much as the header promises, or as much as it does."""
    if not name.endswith(".gz"):
        return content + b"\0" * rng.choice([1, 1000, 1_000_000])
    plain = gzip.decompress(content)
    if rng.random() < 0.5:
        plain = plain[:40] + struct.pack("<4h", 3, 1000, 1000, 300) + plain[48:]
    return gzip.compress(plain + b"\0" * rng.choice([1_000_000, 50_000_000]), 1, mtime=0)


FAMILIES = {
    function.__name__: function
    for function in (
        flip, flip_header, truncate, truncate_inside, overwrite, field, dimensions, elsewhere, bomb,
    )
}  # fmt: skip
