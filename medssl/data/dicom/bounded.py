"""A DICOM file read with no more memory and time than what is there may take.

pydicom believes a header: it asks for as many bytes as an element says it has, inflates whatever
is behind a deflated header, and reads on behind the pixels. Files that were damaged, or made to
do harm, say anything there.

Source: DICOM PS3.5 2024, 7.1 (data elements), A.5 (deflated syntax).
"""

import io
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, cast

import pydicom
from pydicom.filereader import read_partial
from pydicom.tag import BaseTag, Tag

from medssl.data.verdicts import Code, RefusedError

MOST_ELEMENTS = 100_000  # outside of sequences; a thousand are many
MOST_INFLATED_BYTES = 1 << 28
# What a file may have of them whatever its size, and bytes for each one more. Of real files the
# densest, enhanced MR of tiny frames, asks for 33 bytes at a time and has an item in 700.
MOST_READS, BYTES_A_READ = 70_000, 20
MOST_ITEMS, BYTES_AN_ITEM = 50_000, 200
ITEMS = (b"\xfe\xff\x00\xe0", b"\xff\xfe\xe0\x00")  # little and big endian
CHUNK_BYTES = 1 << 20
PIXELS = {0x7FE00008, 0x7FE00009, 0x7FE00010}  # of floats, of doubles, of integers
LAST = 0x7FE00010


class BoundedFile(io.BufferedReader):
    """A file that is asked for no more bytes than it has, and not for each of them alone.

    Python makes room for as many as it is asked for; and each time takes pydicom microseconds.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(io.FileIO(path))
        self.size_bytes = path.stat().st_size
        self._reads_left = MOST_READS + self.size_bytes // BYTES_A_READ

    def read(self, size: int | None = -1, /) -> bytes:
        """Read as many bytes, or all: which pydicom does only to inflate them.

        Raises:
            RefusedError: If they would be too many, inflated, or it was asked too often.
        """
        self._reads_left -= 1
        if self._reads_left < 0:
            sentence = f"a DICOM file of {self.size_bytes} bytes made of elements without content"
            raise RefusedError(Code.UNREADABLE, sentence)
        if size is not None and size >= 0:
            return super().read(min(size, self.size_bytes))
        packed = super().read()
        _require_modest(packed)
        return packed


@contextmanager
def open_bounded(path: Path) -> Iterator[BinaryIO]:
    """Open a file for pydicom."""
    with BoundedFile(path) as file:
        yield cast(BinaryIO, file)


def read_head(
    file: BinaryIO, keywords: Sequence[str] | None, *, force: bool = False
) -> pydicom.FileDataset:
    """Read what stands before the pixels, or those elements of it; the file stays there.

    Raises:
        RefusedError: If there is no end to it.
    """
    tags: Any = keywords and [Tag(keyword) for keyword in keywords]
    stop = _Stop(is_before_pixels=True)
    return _modest(read_partial(file, stop, force=force, specific_tags=tags))


def read_all(file: BinaryIO) -> pydicom.FileDataset:
    """Read what there is up to the pixels and these, of a file that was seen to be DICOM.

    Raises:
        RefusedError: If there is no end to it.
    """
    return _modest(read_partial(file, _Stop(is_before_pixels=False), force=True))


def _modest(found: pydicom.FileDataset) -> pydicom.FileDataset:
    """Return a data set whose sequences may be looked into, which pydicom has put off.

    Raises:
        RefusedError: If one has too many items.
    """
    for tag in found.keys() - PIXELS:
        packed = found.get_item(tag).value
        if not isinstance(packed, bytes):
            continue
        most = MOST_ITEMS + len(packed) // BYTES_AN_ITEM
        if max(map(packed.count, ITEMS)) > most:
            sentence = f"a DICOM sequence of more than {most} items in {len(packed)} bytes"
            raise RefusedError(Code.UNREADABLE, sentence)
    return found


class _Stop:
    """Says where to stop: at the pixels or behind them, and where elements do not end."""

    def __init__(self, *, is_before_pixels: bool) -> None:
        self.is_before_pixels = is_before_pixels
        self.left = MOST_ELEMENTS

    def __call__(self, tag: BaseTag, vr: str | None, length: int) -> bool:
        self.left -= 1
        if self.left < 0:
            sentence = f"a DICOM header of more than {MOST_ELEMENTS} elements"
            raise RefusedError(Code.UNREADABLE, sentence)
        return tag in PIXELS if self.is_before_pixels else tag > LAST


def _require_modest(packed: bytes) -> None:
    stream, size = zlib.decompressobj(-zlib.MAX_WBITS), 0
    while packed and not stream.eof:
        size += len(stream.decompress(packed, CHUNK_BYTES))
        packed = stream.unconsumed_tail
        if size > MOST_INFLATED_BYTES:
            sentence = f"a deflated DICOM file of more than {MOST_INFLATED_BYTES >> 20} MiB"
            raise RefusedError(Code.UNSUPPORTED, sentence)
