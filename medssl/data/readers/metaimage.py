"""MetaImage, attached (`.mha`) or with its voxels in another file (`.mhd`), through SimpleITK.

Source: https://itk.org/Wiki/ITK/MetaIO/Documentation.
"""

import math
import re
import zlib
from pathlib import Path

from medssl.data.readers._itk import beside, header_text, itk_grid, itk_read
from medssl.data.verdicts import Code, RefusedError
from medssl.data.volume import Volume
from medssl.geometry import Affine

__all__ = ["MetaImage"]

LAST = "ElementDataFile"  # the header's last line
HERE = ("LOCAL", "Local", "local")
LINE = re.compile(r"(\w+)[ \t]*=[ \t]*([^\0]{0,1000})")
SHAPE = re.compile(r"[1-9]\d{0,9}( +[1-9]\d{0,9})*")
AXES = {"TransformMatrix", "Rotation", "Orientation"}
CHUNK = 1 << 20  # bytes
LARGEST_BYTES = 8  # of a voxel that is one real number
STEPS = {"ElementSpacing", "ElementSize"}


class MetaImage:
    """Reads `.mha` and `.mhd`; a fourth axis is frames, of which one is read."""

    suffixes = (".mha", ".mhd")

    def read(self, path: Path, *, frame: int | None = None) -> Volume:
        """Return one volume of one channel, in its stored number type.

        Raises:
            DataError: If the axes and the frame do not fit, or the file is damaged.
        """
        parts = self.parts(path)
        _require_whole(path, parts)
        return itk_read(path, kind="Meta", frame=frame)

    def grid(self, path: Path) -> tuple[tuple[int, ...], Affine]:
        """Return shape, frames included, and affine from the header alone.

        Raises:
            RefusedError: If it holds no volume, or does not say where it is.
        """
        fields = _fields(path)
        if not AXES & fields.keys() or not STEPS & fields.keys():
            sentence = "its axes or their steps are not set: where its voxels are is unknown"
            raise RefusedError(Code.NO_GEOMETRY, sentence, path)
        data = (*self.parts(path), path)[0]
        return itk_grid(path, kind="Meta", data=data, is_packed=_is_packed(fields))

    def parts(self, path: Path) -> tuple[Path, ...]:
        """Return the file of voxels, if it is another one.

        Raises:
            RefusedError: If it lies outside of the header's folder.
        """
        name = _fields(path)[LAST]
        return () if name in HERE else (beside(path, name),)


def _is_packed(fields: dict[str, str]) -> bool:
    return fields.get("CompressedData", "False").lower() == "true"


def _require_whole(path: Path, parts: tuple[Path, ...]) -> None:
    """Refuse packed voxels that end early, which ITK would fill up with zeros and not say.

    Those that do not end where they should are not unpacked to their end.
    """
    fields = _fields(path)
    if not _is_packed(fields):
        return
    left = LARGEST_BYTES * math.prod(int(length) for length in fields["DimSize"].split())
    stream = zlib.decompressobj(wbits=47)  # zlib's own format or gzip's
    with (parts or (path,))[0].open("rb") as file:
        if not parts:
            while (line := file.readline()) and line.split(b"=")[0].strip() != LAST.encode():
                pass
        try:
            while left >= 0 and not stream.eof and (packed := file.read(CHUNK)):
                while packed and not stream.eof and left >= 0:
                    left -= len(stream.decompress(packed, CHUNK))
                    packed = stream.unconsumed_tail
        except zlib.error as error:
            raise RefusedError(Code.TRUNCATED, "its packed voxels are damaged", path) from error
    if not stream.eof:
        raise RefusedError(Code.TRUNCATED, "its packed voxels end early, or go on", path)


def _fields(path: Path) -> dict[str, str]:
    """Return the header's fields, up to the one that says where the voxels are.

    Raises:
        RefusedError: If that is not certain: ITK takes other lines for fields, too.
    """
    fields: dict[str, str] = {}
    for line in header_text(path):
        found = LINE.fullmatch(line)
        if found is None or found[1] in fields:
            break
        fields[found[1]] = found[2].strip()
        if found[1] == LAST:
            _require_shape(fields, path)
            return fields
    sentence = f"named Meta, but line {len(fields) + 1} of its header is no new field"
    raise RefusedError(Code.UNREADABLE, sentence, path)


def _require_shape(fields: dict[str, str], path: Path) -> None:
    """Refuse numbers of axes and bytes that ITK believes and fails on.

    Raises:
        RefusedError: If there are other axes than lengths, or more packed bytes than bytes.
    """
    shape, packed = fields.get("DimSize", ""), fields.get("CompressedDataSize", "0")
    if not SHAPE.fullmatch(shape) or fields.get("NDims") != str(len(shape.split())):
        sentence = "named Meta, but its header does not say how many voxels each axis has"
        raise RefusedError(Code.UNREADABLE, sentence, path)
    if len(shape.split()) not in (3, 4):
        sentence = f"a Meta volume has 3 axes, or 4 with frames; this one has {fields['NDims']}"
        raise RefusedError(Code.UNSUPPORTED, sentence, path)
    data = path if fields[LAST] in HERE else beside(path, fields[LAST])
    if not (packed.isdecimal() and int(packed) <= data.stat().st_size):
        sentence = "its header promises more packed bytes than there are"
        raise RefusedError(Code.TRUNCATED, sentence, path)
