"""What a compressed frame says of itself, looked at before a decoder believes it.

Decoders make room for what the head of a frame promises: four bytes of a header can ask for
terabytes. And some write where the DICOM header says while they read what the frame says.

Source: ITU-T T.81, B.2.2 (JPEG frame header); T.87, C.2.2 (JPEG-LS); T.800, A.5.1 (JPEG 2000);
DICOM PS3.5 2024, 8.2 and G.5 (RLE header).
"""

import struct
from collections.abc import Iterable
from math import ceil
from typing import NamedTuple

from pydicom.uid import UID, RLELossless

from medssl.data.verdicts import Code, RefusedError

# Starts of frames in JPEG's markers; the others from 0xC0 to 0xCF define tables.
FRAMES = {0xC0, 0xC1, 0xC2, 0xC3, 0xC5, 0xC6, 0xC7, 0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF, 0xF7}
JPEG, JPEG2000 = b"\xff\xd8", b"\xff\x4f\xff\x51"
END, MOST_PADDING = b"\xff\xd9", 16  # of all three; decoders fill up what is missing in silence
MOST_TILES = 1024
MOST_PIXELS = 1 << 26  # a frame; slices have a quarter of a million
# Blank slices shrink to next to nothing, but no image of this size consists of them.
LARGE_BYTES, MOST_SHRUNK = 1 << 26, 1000


class Promise(NamedTuple):
    """What the head of a frame promises."""

    rows: int
    columns: int
    samples: int
    bits: int
    tiles: int = 1


def promise_of(frame: bytes) -> Promise | None:
    """Return what a frame of JPEG, JPEG-LS or JPEG 2000 promises, if it says so."""
    try:
        if frame.startswith(JPEG):
            return _jpeg(frame)
        start = frame.find(JPEG2000)  # behind boxes, in a file that should not have them
        return None if start < 0 else _jpeg2000(frame, start)
    except (struct.error, IndexError):
        return None


def require_modest(num_pixels: int, num_frames: int, encoded_bytes: int) -> None:
    """Refuse frames that are larger than any, or much more than what is there can hold.

    Raises:
        RefusedError: With the numbers.
    """
    if num_pixels > MOST_PIXELS:
        sentence = (
            f"a compressed frame of {num_pixels} pixels; the most that is read is {MOST_PIXELS}"
        )
        raise RefusedError(Code.UNSUPPORTED, sentence)
    promised_bytes = 2 * num_pixels * num_frames
    if promised_bytes > max(LARGE_BYTES, MOST_SHRUNK * encoded_bytes):
        sentence = f"{promised_bytes} bytes of pixels are promised, {encoded_bytes} encode them"
        raise RefusedError(Code.UNDECODABLE, sentence)


def require_kept(
    frames: Iterable[bytes], syntax: UID, *, rows: int, columns: int, bits_allocated: int
) -> None:
    """Refuse frames that are not what the DICOM header says, or not whole.

    Raises:
        RefusedError: With what they are instead.
    """
    if syntax == RLELossless:  # whose frames say nothing of their size
        return
    for frame in frames:
        found = promise_of(frame)
        if found is None:
            sentence = (
                f"a compressed frame without a head that says how large it is ({syntax.name})"
            )
            raise RefusedError(Code.UNDECODABLE, sentence)
        if found[:3] != (rows, columns, 1) or not 0 < found.bits <= bits_allocated:
            sentence = (
                f"a compressed frame of {found.rows} by {found.columns} pixels, {found.samples} "
                f"samples of {found.bits} bits each, where the DICOM header says {rows} by "
                f"{columns} of {bits_allocated} bits"
            )
            raise RefusedError(Code.UNDECODABLE, sentence)
        if END not in frame[-MOST_PADDING:]:
            sentence = f"a compressed frame that ends early ({syntax.name})"
            raise RefusedError(Code.TRUNCATED, sentence)
        if not 0 < found.tiles <= MOST_TILES:
            sentence = f"a compressed frame of {found.tiles} tiles"
            raise RefusedError(Code.UNSUPPORTED, sentence)


def _jpeg(frame: bytes) -> Promise | None:
    place = 2
    while place + 4 <= len(frame):
        if frame[place] != 0xFF:
            return None
        marker = frame[place + 1]
        if marker == 0xFF:  # a filler
            place += 1
        elif marker in FRAMES:
            bits, rows, columns, samples = struct.unpack_from(">BHHB", frame, place + 4)
            return Promise(rows, columns, samples, bits)
        else:
            place += 2 + struct.unpack_from(">H", frame, place + 2)[0]
    return None


def _jpeg2000(frame: bytes, start: int) -> Promise | None:
    right, bottom, left, top, across, down, tile_left, tile_top, samples = struct.unpack_from(
        ">8IH", frame, start + 8
    )
    bits, step_across, step_down = struct.unpack_from(">3B", frame, start + 42)
    if not (across and down and step_across == step_down == 1):
        return None
    tiles = ceil((right - tile_left) / across) * ceil((bottom - tile_top) / down)
    return Promise(bottom - top, right - left, samples, (bits & 0x7F) + 1, tiles)
