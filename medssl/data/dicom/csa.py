"""Siemens' private image header (CSA2): names with lists of text.

Source: nibabel's documentation, "Siemens format DICOM with CSA header"; no official one exists.
"""

import struct
from collections.abc import Iterator

import pydicom

MAGIC = b"SV10"
MOST = 1000  # tags or items; more of them are damage


def image_header(found: pydicom.Dataset) -> dict[str, list[str]] | None:
    """Return the values of the image header by name, if there is one of this format.

    Raises:
        ValueError: If it is damaged.
    """
    try:
        block = found.private_block(0x29, "SIEMENS CSA HEADER")
    except KeyError:
        return None
    content = bytes(block[0x10].value or b"") if 0x10 in block else b""
    if not content.startswith(MAGIC):
        return None
    try:
        return dict(_tags(content))
    except struct.error as error:
        msg = "the CSA header ends early"
        raise ValueError(msg) from error


def _tags(content: bytes) -> Iterator[tuple[str, list[str]]]:
    """Yield each name with its values: so many as are valid, or all where that is not fixed."""
    (number,) = struct.unpack_from("<I", content, 8)
    place = 16
    for _ in range(_counted(number)):
        name, valid, _, _, items, _ = struct.unpack_from("<64si4s3i", content, place)
        place += 84
        values = []
        for _ in range(_counted(items)):
            _, length, _, _ = struct.unpack_from("<4i", content, place)
            (value,) = struct.unpack_from(f"<{max(length, 0)}s", content, place + 16)
            values.append(_text(value))
            place += 16 + -(-length // 4) * 4
        yield _text(name), [value for value in values[: valid or None] if value]


def _counted(number: int) -> int:
    if not 0 <= number <= MOST:
        msg = f"the CSA header counts {number} entries"
        raise ValueError(msg)
    return number


def _text(value: bytes) -> str:
    return value.split(b"\0")[0].decode("latin-1").strip()
