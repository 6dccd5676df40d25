"""Data sets of an HDF5 file, looked at before anything is read, and never outside of the file.

Source: https://support.hdfgroup.org/documentation/hdf5/latest/_f_m_t3.html. A link, a virtual
data set and external storage can each make a reader open any other file; none is followed.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py
import numpy as np
from jaxtyping import Shaped

from medssl.data.layouts._files import require_file
from medssl.data.verdicts import Code, RefusedError

# What the library raises on damage; which one depends on where it lies.
DAMAGED = (OSError, KeyError, RuntimeError, TypeError, ValueError, OverflowError)
FEW = 16  # numbers of an attribute; one with more is no spacing
MOST_PACKED = 1100  # deflate turns at most 1032 bytes into one


@contextmanager
def opened(path: Path) -> Iterator[h5py.File]:
    """Open a file for reading, whoever else has it open.

    Raises:
        RefusedError: If it is no HDF5 file, or damaged.
        DataError: If it is not there.
    """
    require_file(path)
    if not h5py.is_hdf5(path):
        raise RefusedError(Code.NOT_AN_IMAGE, "named HDF5, but it is none", path)
    try:
        file = h5py.File(path, "r", locking=False)
    except DAMAGED as error:
        if "truncated" in str(error):
            raise RefusedError(Code.TRUNCATED, "an HDF5 file that is cut off", path) from error
        sentence = f"an HDF5 file that cannot be opened ({type(error).__name__})"
        raise RefusedError(Code.UNREADABLE, sentence, path) from error
    with file:
        yield file


def find(file: h5py.File, key: str) -> h5py.Dataset | None:
    """Return the data set under a key, or none if nothing is there.

    Raises:
        RefusedError: If it is no data set of real numbers that lies whole in this file.
    """
    with _refusing(Code.UNREADABLE, f"what lies under {key!r} cannot be looked at"):
        found = _find(file, key)
        if found is not None:
            _check(found, key)
        return found


def read(data: h5py.Dataset, where: tuple[int | slice, ...] = ()) -> Shaped[np.ndarray, "..."]:
    """Return the numbers of a data set, or of a part of it.

    Raises:
        RefusedError: If they cannot be had.
    """
    with _refusing(Code.TRUNCATED, "its voxels cannot be read"):
        return np.asarray(data[where])


def attribute(thing: h5py.Dataset | h5py.File, name: str) -> Shaped[np.ndarray, "..."] | None:
    """Return an attribute that is a few numbers, or none if there is none of that name.

    Raises:
        RefusedError: If it cannot be read.
    """
    with _refusing(Code.UNREADABLE, f"its attribute {name!r} cannot be read"):
        if name not in thing.attrs:
            return None
        said = thing.attrs.get_id(name)
        is_few = said.dtype.kind in "iuf" and math.prod(said.shape) <= FEW
        return np.asarray(thing.attrs[name]) if is_few else np.zeros(0)


@contextmanager
def _refusing(code: Code, what: str) -> Iterator[None]:
    """Turn damage that the library stumbles over into a refusal."""
    try:
        yield
    except RefusedError:
        raise
    except DAMAGED as error:
        sentence = f"{what} ({type(error).__name__}): cut off or damaged"
        raise RefusedError(code, sentence) from error


def _find(file: h5py.File, key: str) -> h5py.Dataset | None:
    found: h5py.File | h5py.Group | h5py.Dataset = file
    for name in key.encode().strip(b"/").split(b"/"):
        # Asked of the link itself: to ask whether there is something would follow it.
        if not isinstance(found, h5py.Group) or not found.id.links.exists(name):
            return None
        if found.id.links.get_info(name).type != h5py.h5l.TYPE_HARD:
            sentence = f"{key!r} is a link to somewhere else, not data of its own"
            raise RefusedError(Code.UNSUPPORTED, sentence)
        found = found[name]
    if not isinstance(found, h5py.Dataset):
        raise RefusedError(Code.UNSUPPORTED, f"what lies under {key!r} is no array")
    return found


def _check(data: h5py.Dataset, key: str) -> None:
    """Refuse what is not numbers, is not all here, or cannot be unpacked.

    Raises:
        RefusedError: With the reason.
    """
    made = data.id.get_create_plist()
    if data.is_virtual or made.get_external_count():
        sentence = f"the voxels of {key!r} lie in other files"
        raise RefusedError(Code.UNSUPPORTED, sentence)
    if data.dtype.kind not in "iuf":
        sentence = f"the voxels of {key!r} are {data.dtype.name}, not single real numbers"
        raise RefusedError(Code.UNSUPPORTED, sentence)
    for number in range(made.get_nfilters()):
        code = made.get_filter(number)[0]
        if not h5py.h5z.filter_avail(code):
            sentence = f"{key!r} is packed by HDF5's filter {code}, which is not installed"
            raise RefusedError(Code.UNDECODABLE, sentence)
    promised, there = data.size * data.dtype.itemsize, data.id.get_storage_size()
    if promised > there * (MOST_PACKED if made.get_nfilters() else 1):
        sentence = f"{promised} bytes of voxels are promised under {key!r}, {there} are stored"
        raise RefusedError(Code.TRUNCATED, sentence)
