"""Damage to a `.b2nd` file is found before a voxel of it is believed.

LZ4 has no checksum, and blosc2 keeps none: of single bits flipped anywhere in a cached CT, 38 of
40 came out as other voxels without a word, and blosc2 took flipped headers for sizes of petabytes
(measured). So a seal follows the frame: the checksum of each chunk, and one of all that is no
chunk. The latter, some kilobytes, is checked when a process first opens the file; a chunk when it
is first read from. What was checked is remembered by the file's size and time of change, so that
from then on an open costs a look at these.

Source: the frame, https://github.com/Blosc/c-blosc2/blob/main/README_CFRAME_FORMAT.rst (header
with its length at byte 11 and the frame's at 16, big-endian; chunks; their index and a trailer).
"""

import struct
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import product
from pathlib import Path
from typing import BinaryIO
from zlib import crc32

import blosc2

from medssl.errors import DataError

AGAIN = "run `medssl cache` again, which makes it anew"
_MAGIC = b"medssl seal 1\0\0\0"
# Magic, number of chunks, where those end, and the checksum of all but chunks and of this.
_END = struct.Struct("<16sQQI")
_HEADER_BYTES = struct.Struct(">11xi")
_FRAME_BYTES = struct.Struct(">16xQ")
# Of these many files a process remembers what it has checked, some hundred bytes each.
_REMEMBERED = 16_384


class Seal:
    """The checksums of a file, and which of its chunks were found to match."""

    def __init__(self, path: Path, chunk_crc32: Sequence[int]) -> None:
        """Remember no chunk yet."""
        self.path = path
        self.chunk_crc32 = tuple(chunk_crc32)
        self.seen: set[int] = set()

    def check(self, schunk: blosc2.SChunk, numbers: Iterable[int]) -> None:
        """Read these chunks once, and never again.

        Raises:
            DataError: If one is not as it was written.
        """
        for number in numbers:
            if number in self.seen:
                continue
            try:
                is_whole = checksum(schunk, number) == self.chunk_crc32[number]
            except RuntimeError:
                is_whole = False
            if not is_whole:
                msg = f"{self.path}: chunk {number} is damaged, its checksum is another; {AGAIN}"
                raise DataError(msg)
            self.seen.add(number)


def checksum(schunk: blosc2.SChunk, number: int) -> int:
    """Return the checksum of a chunk, compressed as it lies in the file."""
    return crc32(schunk.get_chunk(number))


def seal(path: Path, schunk: blosc2.SChunk, checksums: Sequence[int]) -> None:
    """Append the seal, with the checksums of all chunks, to a file that is complete otherwise."""
    with path.open("r+b") as file:
        (header_bytes,) = _HEADER_BYTES.unpack(file.read(_HEADER_BYTES.size))
        chunks_end = header_bytes + schunk.cbytes
        file.seek(0, 2)
        file.write(struct.pack(f"<{len(checksums)}I", *checksums))
        file.write(_END.pack(_MAGIC, len(checksums), chunks_end, 0)[:-4])
        file.flush()
        file.write(struct.pack("<I", _around_chunks(file, chunks_end, file.tell())))


def read_seal(path: Path) -> Seal:
    """Return the seal of a file, after checking all that is no chunk of it.

    Raises:
        DataError: If the file has none, or was changed, cut short or continued since.
    """
    stat = path.stat()
    return _read_seal(path, stat.st_ino, stat.st_mtime_ns, stat.st_size)


def touched(shape: Sequence[int], chunks: Sequence[int], box: Sequence[slice]) -> Iterator[int]:
    """Yield the numbers of the chunks that a box lies in, in C order.

    Args:
        shape: Of the array.
        chunks: Shape of a chunk.
        box: A slice for each axis; steps are taken for 1.
    """
    spans = []
    for size, chunk, along in zip(shape, chunks, box, strict=True):
        start, stop, _ = along.indices(size)
        spans.append(range(start // chunk, -(-stop // chunk)) if start < stop else range(0))
    counts = [-(-size // chunk) for size, chunk in zip(shape, chunks, strict=True)]
    for place in product(*spans):
        number = 0
        for at, count in zip(place, counts, strict=True):
            number = number * count + at
        yield number


@lru_cache(maxsize=_REMEMBERED)
def _read_seal(path: Path, inode: int, changed_ns: int, size: int) -> Seal:
    with path.open("rb") as file:
        file.seek(max(size - _END.size, 0))
        end = file.read(_END.size)
        if len(end) < _END.size or end[: len(_MAGIC)] != _MAGIC:
            msg = (
                f"{path}: expected a cached volume with its seal, this is truncated, "
                f"of an older format or something else; {AGAIN}"
            )
            raise DataError(msg)
        _, num_chunks, chunks_end, expected = _END.unpack(end)
        frame_bytes = size - _END.size - 4 * num_chunks
        file.seek(0)
        told = file.read(_FRAME_BYTES.size)
        is_whole = (
            len(told) == _FRAME_BYTES.size
            and _FRAME_BYTES.unpack(told)[0] == frame_bytes
            and 0 < chunks_end <= frame_bytes
            and _around_chunks(file, chunks_end, size - 4) == expected
        )
        if not is_whole:
            msg = f"{path}: expected a whole cached volume, this is damaged or truncated; {AGAIN}"
            raise DataError(msg)
        file.seek(frame_bytes)
        return Seal(path, struct.unpack(f"<{num_chunks}I", file.read(4 * num_chunks)))


def _around_chunks(file: BinaryIO, chunks_end: int, end: int) -> int:
    """Return the checksum of the header and of what lies between the chunks and a place."""
    file.seek(0)
    (header_bytes,) = _HEADER_BYTES.unpack(file.read(_HEADER_BYTES.size))
    file.seek(0)
    before = crc32(file.read(max(header_bytes, 0)))
    file.seek(chunks_end)
    after = crc32(file.read(end - chunks_end), before)
    file.seek(end)
    return after
