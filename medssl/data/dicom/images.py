"""The numbers of slices wherever they stand: a file each, frames of a file, tiles of a mosaic."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Shaped

from medssl.data.dicom.header import Content, Header
from medssl.data.dicom.native import room_for, stored_in
from medssl.data.dicom.pixels import (
    Pixels,
    native_pixels,
    pixels_of,
    read_frames,
    read_pixels,
    values,
)
from medssl.data.verdicts import RefusedError
from medssl.data.volume import slice_digest


def read_values(headers: Sequence[Header]) -> Shaped[np.ndarray, "channel i j k"]:
    """Return the rescaled values of slices; of those that are stored alike, in the room of these.

    Raises:
        RefusedError: Naming the file, if one of them cannot be decoded.
    """
    native, size = headers[0].native, (headers[0].rows, headers[0].columns)
    if native is None or not all(
        header.native is not None
        and header.native[1:4] == native[1:4]
        and (header.rows, header.columns) == size
        for header in headers
    ):
        return values(read_images(headers))
    room = room_for(native, len(headers), *size)
    return values([native_pixels(*of) for of in zip(headers, room, strict=True)], room)


def content_in(header: Header, content: memoryview | None = None) -> Content | None:
    """Return what is in the one image of a file; none if it cannot be had alone.

    Args:
        header: Of the image.
        content: Of the file, if it was read; it is written over.
    """
    if header.image is not None:
        return None
    room = None
    try:
        if content is not None and header.native is not None:
            stored = stored_in(content, header.native, header.rows, header.columns)
            pixels, room = pixels_of(stored, header.native), stored[None]
        else:
            (pixels,) = read_images([header])
    except RefusedError:  # its volume says so
        return None
    found = values([pixels], room)
    return Content(slice_digest(found[0, :, :, 0].T).hex(), found.dtype.str)


def read_images(headers: Sequence[Header]) -> list[Pixels]:
    """Decode slices, each file once and no frame that is not asked for.

    Raises:
        RefusedError: Naming the file, if one of them cannot be decoded.
    """
    rows: dict[Path, list[int]] = {}
    for row, header in enumerate(headers):
        rows.setdefault(header.path, []).append(row)
    found = {
        row: pixels
        for path, members in rows.items()
        for row, pixels in zip(
            members, _of_file(path, [headers[row] for row in members]), strict=True
        )
    }
    return [found[row] for row in range(len(headers))]


def _of_file(path: Path, headers: Sequence[Header]) -> list[Pixels]:
    if all(header.native is not None for header in headers):
        return [native_pixels(header) for header in headers]
    if headers[0].image is None:
        return [read_pixels(path)]
    if headers[0].tiles_across:
        whole = read_pixels(path)
        return [_tile(whole, header) for header in headers]
    return read_frames(
        path,
        [header.image or 0 for header in headers],
        [header.rescale or (1.0, 0.0) for header in headers],
    )


def _tile(mosaic: Pixels, header: Header) -> Pixels:
    """Cut a slice out of a mosaic, whose tiles run row by row."""
    row, column = divmod((header.image or 1) - 1, header.tiles_across)
    rows = slice(row * header.rows, (row + 1) * header.rows)
    columns = slice(column * header.columns, (column + 1) * header.columns)
    return Pixels.of(mosaic.stored[rows, columns], mosaic.slope, mosaic.intercept)
