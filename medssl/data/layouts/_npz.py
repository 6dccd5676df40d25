"""Rows of the arrays of a NumPy archive, read one by one.

A deflated array can only be unpacked from its beginning. So that a row far down costs little,
snapshots of the decoder are kept on the way, of 50 KB each and at most `MOST_POINTS` an array: a
row costs what lies between it and the snapshot before, and the first reading of the last row
everything before it, once a process.

Source: https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html; PKWARE's APPNOTE
6.3.10. Objects, which would have to be unpickled, are refused.
"""

import io
import math
import struct
import threading
import tokenize
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Shaped

from medssl.data.layouts._files import require_file
from medssl.data.verdicts import Code, RefusedError

PIECE_BYTES = 1 << 12  # of packed bytes; unpacked at most a thousand times as many
LEAST_STEP_BYTES = 1 << 20
MOST_POINTS = 512
MOST_HEADER_BYTES = 1 << 12
PARSING = threading.Lock()
LOCAL_HEADER = struct.Struct("<4s22xHH")
PACKED = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}
DAMAGED = (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError, NotImplementedError,
           RuntimeError, struct.error, tokenize.TokenError)  # fmt: skip


@dataclass(frozen=True)
class Array:
    """An array of an archive.

    Args:
        path: The archive.
        start: Where its bytes begin.
        packed_bytes: How many there are.
        is_deflated: Whether they are packed.
        header_bytes: What stands before the numbers.
        dtype: Of the numbers.
        shape: Of the array.
    """

    path: Path
    start: int
    packed_bytes: int
    is_deflated: bool
    header_bytes: int
    dtype: np.dtype[Any]
    shape: tuple[int, ...]

    @property
    def row_bytes(self) -> int:
        """Of one row."""
        return math.prod(self.shape[1:]) * self.dtype.itemsize

    def rows(self, first: int, last: int) -> Shaped[np.ndarray, "row ..."]:
        """Return the rows from the first up to the last, which is not among them.

        Raises:
            RefusedError: If they cannot be unpacked.
        """
        begin = self.header_bytes + first * self.row_bytes
        size = (last - first) * self.row_bytes
        with _refusing_damage():
            if self.is_deflated:
                found = _stream(self, self.path.stat().st_mtime_ns).read(begin, size)
            else:
                with self.path.open("rb") as file:
                    file.seek(self.start + begin)
                    found = bytearray(file.read(size))
        if len(found) != size:
            raise RefusedError(Code.TRUNCATED, "the rows of an array end early")
        return np.frombuffer(found, self.dtype).reshape(last - first, *self.shape[1:])


def arrays(path: Path, names: Sequence[str]) -> list[Array]:
    """Return the arrays of these names.

    Raises:
        RefusedError: If it is no archive with these, or damaged.
        DataError: If it is not there.
    """
    require_file(path)
    with _refusing_damage(), zipfile.ZipFile(path) as archive, path.open("rb") as file:
        members = {f"{name}.npy" for name in names}
        if missing := members - set(archive.namelist()):
            sentence = f"an archive without the arrays {sorted(missing)}"
            raise RefusedError(Code.NOT_AN_IMAGE, sentence, path)
        infos = [archive.getinfo(f"{name}.npy") for name in names]
        return [_array(archive, info, file, path) for info in infos]


def check_sums(path: Path) -> None:
    """Unpack all of an archive, to see whether its bytes are those that were written.

    Raises:
        RefusedError: If they are not.
    """
    with _refusing_damage(), zipfile.ZipFile(path) as archive:
        if archive.testzip() is not None:
            raise RefusedError(Code.TRUNCATED, "the checksum of an array is wrong: damaged")


def _array(archive: zipfile.ZipFile, info: zipfile.ZipInfo, file: Any, path: Path) -> Array:
    if info.compress_type not in PACKED or info.flag_bits & 1:
        raise RefusedError(Code.UNSUPPORTED, "an archive that is packed otherwise than NumPy does")
    with archive.open(info) as member:
        head = io.BytesIO(member.read(MOST_HEADER_BYTES))
    shape, is_fortran, dtype = _header(head)
    if dtype.kind not in "biuf" or is_fortran:
        sentence = "an archive with arrays of something else than plain numbers, row after row"
        raise RefusedError(Code.UNSUPPORTED, sentence)
    promised = head.tell() + math.prod(shape) * dtype.itemsize
    if promised != info.file_size:
        sentence = f"an array of {promised} bytes is promised, {info.file_size} are there"
        raise RefusedError(Code.TRUNCATED, sentence)
    file.seek(info.header_offset)
    _, name_bytes, extra_bytes = LOCAL_HEADER.unpack(file.read(LOCAL_HEADER.size))
    start = info.header_offset + LOCAL_HEADER.size + name_bytes + extra_bytes
    is_deflated = info.compress_type == zipfile.ZIP_DEFLATED
    return Array(path, start, info.compress_size, is_deflated, head.tell(), dtype, shape)


@contextmanager
def _refusing_damage() -> Iterator[None]:
    """Turn damage that the libraries stumble over into a refusal."""
    try:
        yield
    except RefusedError:
        raise
    except PermissionError as error:
        raise RefusedError(Code.UNREADABLE, "reading it is not permitted") from error
    except DAMAGED as error:
        sentence = f"its arrays cannot be read ({type(error).__name__}): cut off or damaged"
        raise RefusedError(Code.TRUNCATED, sentence) from error


class _Point(NamedTuple):
    """A snapshot: how much was unpacked of how much, and the decoder then, never used itself."""

    unpacked: int
    packed: int
    decoder: Any


class _Stream:
    """A deflated array, unpacked from the snapshot before what is asked for."""

    def __init__(self, array: Array) -> None:
        self._array = array
        whole = array.header_bytes + array.shape[0] * array.row_bytes
        self._step = max(LEAST_STEP_BYTES, whole // MOST_POINTS)
        self._points = [_Point(0, 0, zlib.decompressobj(-zlib.MAX_WBITS))]
        self._lock = threading.Lock()

    def read(self, begin: int, size: int) -> bytearray:
        """Return so many unpacked bytes, or fewer at the end."""
        found = bytearray()
        for place, piece in self._pieces(begin):
            found += piece[max(0, begin - place) : begin + size - place]
            if len(found) == size:
                break
        return found

    def _pieces(self, begin: int) -> Iterator[tuple[int, bytes]]:
        """Yield unpacked pieces, and the place of each, from the last snapshot before a place."""
        with self._lock:
            unpacked, packed, decoder = next(p for p in reversed(self._points) if p[0] <= begin)
        decoder = decoder.copy()
        with self._array.path.open("rb") as file:
            file.seek(self._array.start + packed)
            while packed < self._array.packed_bytes:
                taken = file.read(min(PIECE_BYTES, self._array.packed_bytes - packed))
                if not taken:
                    return
                piece = decoder.decompress(taken)
                yield unpacked, piece
                unpacked, packed = unpacked + len(piece), packed + len(taken)
                self._keep(_Point(unpacked, packed, decoder))

    def _keep(self, point: _Point) -> None:
        with self._lock:
            if point.unpacked >= self._points[-1].unpacked + self._step:
                self._points.append(point._replace(decoder=point.decoder.copy()))


@lru_cache(maxsize=6)
def _stream(array: Array, changed_ns: int) -> _Stream:
    """Return what unpacks an array, once a process; another file has another date."""
    return _Stream(array)


def _header(head: io.BytesIO) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    # NumPy parses the header by Python's ast. CPython counts that parser's depth once for all
    # threads and raises a SystemError where two parse at once (python/cpython#106905).
    with PARSING:
        if np.lib.format.read_magic(head) == (1, 0):
            return np.lib.format.read_array_header_1_0(head)
        return np.lib.format.read_array_header_2_0(head)
