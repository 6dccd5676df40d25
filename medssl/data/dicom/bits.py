"""Frames of one bit a pixel, which follow each other without regard to where a byte begins.

pydicom's own iteration over frames takes each to begin with a byte (3.0), which is so only where
rows times columns is a multiple of eight.

Source: DICOM PS3.5 2024, 8.1.1 (pixel data encoding of related data elements).
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pydicom
from jaxtyping import UInt8

from medssl.data.dicom.quiet import DAMAGE, quietly
from medssl.data.verdicts import Code, RefusedError


def read_bits(path: Path, numbers: Sequence[int]) -> Iterator[UInt8[np.ndarray, "row column"]]:
    """Yield frames as zeros and ones.

    Args:
        path: The file.
        numbers: Which frames, from 1.

    Raises:
        RefusedError: If the file ends early.
    """
    try:
        with quietly():
            found = pydicom.dcmread(path, force=True)
            content = np.frombuffer(found.PixelData, np.uint8)
            rows, columns = int(found.Rows), int(found.Columns)
    except DAMAGE as error:
        sentence = f"its pixels cannot be read ({type(error).__name__})"
        raise RefusedError(Code.TRUNCATED, sentence, path) from error
    pixels = rows * columns
    if 8 * len(content) < pixels * max(numbers, default=0):
        sentence = (
            f"{max(numbers)} frames of {pixels} bits were promised, {len(content)} bytes came"
        )
        raise RefusedError(Code.TRUNCATED, sentence, path)
    for number in numbers:
        first = (number - 1) * pixels
        bits = np.unpackbits(content[first // 8 : -(-(first + pixels) // 8)], bitorder="little")
        yield bits[first % 8 : first % 8 + pixels].reshape(rows, columns)
