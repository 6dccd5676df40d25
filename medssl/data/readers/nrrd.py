"""NRRD, attached (`.nrrd`) or with its voxels in another file (`.nhdr`), through SimpleITK.

Source: https://teem.sourceforge.net/nrrd/format.html.
"""

from pathlib import Path

from medssl.data.readers._itk import beside, header_text, itk_grid, itk_read
from medssl.data.verdicts import Code, RefusedError
from medssl.data.volume import Volume
from medssl.geometry import Affine

__all__ = ["Nrrd"]

# The spaces that mean a patient, by both names; ITK knows how each lies in LPS+.
PATIENT = {
    "right-anterior-superior", "ras", "left-anterior-superior", "las",
    "left-posterior-superior", "lps",
}  # fmt: skip
# Fields of words of which there is a list; ITK's reader writes others where it has no room.
WORDS = {"type", "endian", "encoding", "space", "kinds", "centers", "centerings"}
LONGEST_WORDS, LONGEST = 120, 1000  # letters


class Nrrd:
    """Reads `.nrrd` and `.nhdr`; an axis of kind `list` is frames, of which one is read."""

    suffixes = (".nrrd", ".nhdr")

    def read(self, path: Path, *, frame: int | None = None) -> Volume:
        """Return one volume of one channel, in its stored number type.

        Raises:
            DataError: If the axes and the frame do not fit, or the file is damaged.
        """
        self.parts(path)
        return itk_read(path, kind="Nrrd", frame=frame)

    def grid(self, path: Path) -> tuple[tuple[int, ...], Affine]:
        """Return shape, frames included, and affine from the header alone.

        Raises:
            RefusedError: If it holds no volume, or does not say where it is.
        """
        fields = _fields(path)
        if fields.get("space", "").lower() not in PATIENT or "space directions" not in fields:
            sentence = "no space that means a patient is set: which way the axes point is unknown"
            raise RefusedError(Code.NO_GEOMETRY, sentence, path)
        data = (*self.parts(path), path)[0]
        is_packed = fields.get("encoding", "raw").lower() != "raw"
        is_list = "list" in fields.get("kinds", "").lower().split()
        return itk_grid(path, kind="Nrrd", data=data, is_packed=is_packed, is_list=is_list)

    def parts(self, path: Path) -> tuple[Path, ...]:
        """Return the file of voxels, if it is another one.

        Raises:
            RefusedError: If it lies outside of the header's folder.
        """
        fields = _fields(path)
        name = fields.get("data file", fields.get("datafile"))
        return () if name is None else (beside(path, name),)


def _fields(path: Path) -> dict[str, str]:
    """Return the header's fields; comments and key/value pairs (`:=`) are left out.

    Raises:
        RefusedError: If a line is neither, or says again what another one said: what it is to
            ITK is not certain then.
    """
    fields: dict[str, str] = {}
    for number, line in enumerate(header_text(path)):
        if not line:
            break
        name, separator, value = line.partition(":")
        if number == 0 or line.startswith("#") or value.startswith("="):
            continue
        name = name.strip().lower()
        if not separator or name in fields:
            sentence = f"named NRRD, but line {number + 1} of its header is no new field"
            raise RefusedError(Code.UNREADABLE, sentence, path)
        fields[name] = value.strip()
        if len(value) > (LONGEST_WORDS if name in WORDS else LONGEST):
            sentence = f"named NRRD, but line {number + 1} of its header has {len(value)} letters"
            raise RefusedError(Code.UNREADABLE, sentence, path)
    return fields
