"""MetaImage, attached (`.mha`) or with its voxels in another file (`.mhd`), through SimpleITK.

Source: https://itk.org/Wiki/ITK/MetaIO/Documentation.
"""

import zlib
from pathlib import Path

from medssl.data.readers._itk import beside, header_text, itk_grid, itk_read
from medssl.data.verdicts import Code, RefusedError
from medssl.data.volume import Volume
from medssl.geometry import Affine

__all__ = ["MetaImage"]

LAST = "ElementDataFile"  # the header's last line
AXES = {"TransformMatrix", "Rotation", "Orientation"}
CHUNK = 1 << 20  # bytes
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
        name = _fields(path).get(LAST, "LOCAL")
        return () if name.upper() == "LOCAL" else (beside(path, name),)


def _is_packed(fields: dict[str, str]) -> bool:
    return fields.get("CompressedData", "False").lower() == "true"


def _require_whole(path: Path, parts: tuple[Path, ...]) -> None:
    """Refuse packed voxels that end early, which ITK would fill up with zeros and not say."""
    if not _is_packed(_fields(path)):
        return
    stream = zlib.decompressobj(wbits=47)  # zlib's own format or gzip's
    with (parts or (path,))[0].open("rb") as file:
        if not parts:
            while (line := file.readline()) and line.split(b"=")[0].strip() != LAST.encode():
                pass
        try:
            while (packed := file.read(CHUNK)) and not stream.eof:
                while packed and not stream.eof:
                    stream.decompress(packed, CHUNK)
                    packed = stream.unconsumed_tail
        except zlib.error as error:
            raise RefusedError(Code.TRUNCATED, "its packed voxels are damaged", path) from error
    if not stream.eof:
        raise RefusedError(Code.TRUNCATED, "its packed voxels end early", path)


def _fields(path: Path) -> dict[str, str]:
    fields = {}
    for line in header_text(path):
        name, _, value = line.partition("=")
        fields[name.strip()] = value.strip()
        if name.strip() == LAST:
            break
    return fields
