"""Which reader reads a file that is a volume: how its name ends says it."""

from medssl.data.readers import FileReader
from medssl.data.readers.metaimage import MetaImage
from medssl.data.readers.nifti import Nifti
from medssl.data.readers.nrrd import Nrrd

READERS: tuple[FileReader, ...] = (Nifti(), Nrrd(), MetaImage())


# Files of arrays, which only a layout says what they are.
LAID_OUT = (".h5", ".hdf5", ".npz")


def is_laid_out(name: str) -> bool:
    """Say whether a file of this name is one of arrays."""
    return name.lower().endswith(LAID_OUT)


def reader_of(name: str) -> FileReader | None:
    """Return the reader of a file of this name, or none for a file that is no volume by it."""
    return next((reader for reader in READERS if _suffix(reader, name)), None)


def without_suffix(name: str) -> str:
    """Return a name without the suffix that says its format."""
    if is_laid_out(name):
        return name[: name.rindex(".")]
    reader = reader_of(name)
    return name if reader is None else name[: -len(_suffix(reader, name))]


def _suffix(reader: FileReader, name: str) -> str:
    ends = [suffix for suffix in reader.suffixes if name.lower().endswith(suffix)]
    return max(ends, key=len, default="")
