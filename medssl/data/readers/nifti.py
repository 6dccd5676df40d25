"""NIfTI-1 and NIfTI-2, through nibabel.

Source: https://nifti.nimh.nih.gov; nibabel gives the affine to RAS+ millimeters already.
"""

import gzip
import math
import threading
import zlib
from pathlib import Path
from typing import Any, cast

import nibabel
import numpy as np
from nibabel.filebasedimages import ImageFileError
from nibabel.spatialimages import HeaderDataError
from nibabel.wrapstruct import WrapStructError

from medssl.data.readers._grids import (
    MOST_PACKED,
    check_affine,
    check_axes,
    check_frame,
    check_regular,
)
from medssl.data.verdicts import Code, RefusedError
from medssl.data.volume import Volume
from medssl.geometry import Affine

__all__ = ["Nifti"]

CHUNK_BYTES = 1 << 20
UNREADABLE = (
    ImageFileError, HeaderDataError, WrapStructError, EOFError, OSError, ValueError,
    OverflowError, zlib.error,
)  # fmt: skip


class Nifti:
    """Reads `.nii` and `.nii.gz`; a fourth axis is frames, of which one is read."""

    suffixes = (".nii", ".nii.gz")

    def read(self, path: Path, *, frame: int | None = None) -> Volume:
        """Return one volume of one channel, in its stored number type.

        Raises:
            DataError: If the axes and the frame do not fit, or the file is damaged.
        """
        image = _load(path) if frame is None or not _is_packed(path) else _PACKED.load(path)
        check_frame(path, image.shape, frame)
        try:
            voxels = np.asanyarray(image.dataobj if frame is None else image.dataobj[..., frame])
        except (EOFError, OSError, ValueError, zlib.error) as error:
            _PACKED.forget()  # where it stopped is not known
            sentence = f"its voxels cannot be read ({type(error).__name__}): cut off or damaged"
            raise RefusedError(Code.TRUNCATED, sentence, path) from error
        return Volume(voxels[None], np.asarray(image.affine, dtype=np.float64))

    def grid(self, path: Path) -> tuple[tuple[int, ...], Affine]:
        """Return shape, frames included, and affine from the header alone.

        Raises:
            RefusedError: If it holds no volume, or does not say where it is.
        """
        image = _load(path)
        shape = tuple(int(length) for length in image.shape)
        check_axes(shape, "NIfTI")
        voxels = cast(nibabel.arrayproxy.ArrayProxy, image.dataobj)
        dtype = np.dtype(voxels.dtype)
        if dtype.kind not in "biuf":
            sentence = f"its voxels are {dtype}, not single real numbers"
            raise RefusedError(Code.UNSUPPORTED, sentence)
        header = image.header
        if int(header["sform_code"]) <= 0 and int(header["qform_code"]) <= 0:
            sentence = "neither its sform nor its qform is set: which way the axes point is unknown"
            raise RefusedError(Code.NO_GEOMETRY, sentence)
        affine = np.asarray(image.affine, dtype=np.float64)
        check_affine(affine)
        if len(shape) == 4 and _is_packed(path):
            _require_unpacked(path, voxels.offset + math.prod(shape) * dtype.itemsize)
        return shape, affine

    def parts(self, path: Path) -> tuple[Path, ...]:
        """Return no further file: one holds all."""
        return ()


class _NoExtensions(nibabel.nifti1.Nifti1Extensions):
    """Leaves the extensions of a header alone: free text, of a length that the header makes up."""

    @classmethod
    def from_fileobj(cls, fileobj: Any, size: Any, byteswap: bool) -> "_NoExtensions":  # noqa: FBT001
        """Return none."""
        return cls()


class _Header1(nibabel.Nifti1Header):
    exts_klass = _NoExtensions


class _Header2(nibabel.Nifti2Header):
    exts_klass = _NoExtensions


class _Image1(nibabel.Nifti1Image):
    header_class = _Header1


class _Image2(nibabel.Nifti2Image):
    header_class = _Header2


class _Packed(threading.local):
    """The packed file that a thread has read frames of last, open behind the last of them.

    Frames are asked for in turn; to find one anew, all before it would be unpacked.
    """

    def __init__(self) -> None:
        self._stamp: tuple[Path, int, int] | None = None
        self._image: nibabel.Nifti1Image | None = None

    def load(self, path: Path) -> nibabel.Nifti1Image:
        """Return the file as it is now."""
        found = path.stat() if path.is_file() else None
        stamp = found and (path, found.st_size, found.st_mtime_ns)
        if self._image is None or stamp != self._stamp:
            self.forget()
            self._image = _load(path, is_kept_open=True)
            self._stamp = stamp
        return self._image

    def forget(self) -> None:
        """Let go of the file."""
        self._stamp = self._image = None


_PACKED = _Packed()


def _load(path: Path, *, is_kept_open: bool = False) -> nibabel.Nifti1Image:
    check_regular(path)
    try:
        image = _kind(path).from_filename(path, keep_file_open=is_kept_open)
    except FileNotFoundError as error:
        raise RefusedError(Code.UNREADABLE, "there is no such file", path) from error
    except PermissionError as error:
        raise RefusedError(Code.UNREADABLE, "reading it is not permitted", path) from error
    except UNREADABLE as error:
        sentence = f"named NIfTI, but its header cannot be read ({type(error).__name__})"
        raise RefusedError(Code.UNREADABLE, sentence, path) from error
    _require_bytes(image, path)
    return image


def _kind(path: Path) -> type[nibabel.Nifti1Image]:
    """Return the version of the format, which the size of the header says."""
    with gzip.open(path) if _is_packed(path) else path.open("rb") as file:
        start = file.read(4)
    is_second = 540 in (int.from_bytes(start, "little"), int.from_bytes(start, "big"))
    return _Image2 if is_second else _Image1


def _require_bytes(image: nibabel.Nifti1Image, path: Path) -> None:
    """Refuse a file that cannot hold what its header promises, before room is made for it.

    Raises:
        RefusedError: With the numbers.
    """
    voxels = cast(nibabel.arrayproxy.ArrayProxy, image.dataobj)
    size = math.prod(int(length) for length in image.shape) * np.dtype(voxels.dtype).itemsize
    there, is_packed = path.stat().st_size, _is_packed(path)
    if voxels.offset < 0 or voxels.offset + size > there * (MOST_PACKED if is_packed else 1):
        packed = "packed " if is_packed else ""
        sentence = f"{size} bytes of voxels are promised, its file has {there} {packed}bytes"
        raise RefusedError(Code.TRUNCATED, sentence, path)


def _is_packed(path: Path) -> bool:
    return path.name.lower().endswith(".gz")


def _require_unpacked(path: Path, size: int) -> None:
    """Refuse packed frames that end early, rather than each frame after the end by itself.

    Raises:
        RefusedError: If there are fewer bytes.
    """
    left = size
    try:
        with gzip.open(path) as file:
            while left > 0 and (chunk := file.read(min(left, CHUNK_BYTES))):
                left -= len(chunk)
    except (EOFError, OSError, zlib.error) as error:
        raise RefusedError(
            Code.TRUNCATED, "its packed frames are cut off or damaged", path
        ) from error
    if left > 0:
        raise RefusedError(Code.TRUNCATED, f"its packed frames end {left} bytes early", path)
