"""Which reader reads a file that is a volume: how its name ends says it."""

from medssl.data.readers import FileReader
from medssl.data.readers.metaimage import MetaImage
from medssl.data.readers.nifti import Nifti
from medssl.data.readers.nrrd import Nrrd

READERS: tuple[FileReader, ...] = (Nifti(), Nrrd(), MetaImage())
_READER = {suffix: reader for reader in READERS for suffix in reader.suffixes}
_SUFFIXES = tuple(sorted(_READER, key=len, reverse=True))

# Files of arrays, which only a layout says what they are.
LAID_OUT = (".h5", ".hdf5", ".npz")


def is_laid_out(name: str) -> bool:
    """Say whether a file of this name is one of arrays."""
    return name.lower().endswith(LAID_OUT)


def reader_of(name: str) -> FileReader | None:
    """Return the reader of a file of this name, or none for a file that is no volume by it."""
    return _READER.get(_suffix(name))


def without_suffix(name: str) -> str:
    """Return a name without the suffix that says its format."""
    if is_laid_out(name):
        return name[: name.rindex(".")]
    return name[: len(name) - len(_suffix(name))]


def _suffix(name: str) -> str:
    """Return the longest suffix of a format that the name ends in, or nothing."""
    lower = name.lower()
    if not lower.endswith(_SUFFIXES):  # as most of an archive's do not
        return ""
    return next(suffix for suffix in _SUFFIXES if lower.endswith(suffix))
