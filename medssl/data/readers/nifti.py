"""NIfTI-1 and NIfTI-2, through nibabel.

Source: https://nifti.nimh.nih.gov; nibabel gives the affine to RAS+ millimeters already.
"""

import zlib
from pathlib import Path
from typing import cast

import nibabel
import numpy as np
from nibabel.filebasedimages import ImageFileError

from medssl.data.readers._grids import check_affine, check_axes, check_frame
from medssl.data.verdicts import Code, RefusedError
from medssl.data.volume import Volume
from medssl.geometry import Affine

__all__ = ["Nifti"]


class Nifti:
    """Reads `.nii` and `.nii.gz`; a fourth axis is frames, of which one is read."""

    suffixes = (".nii", ".nii.gz")

    def read(self, path: Path, *, frame: int | None = None) -> Volume:
        """Return one volume of one channel, in its stored number type.

        Raises:
            DataError: If the axes and the frame do not fit, or the file is damaged.
        """
        image = _load(path)
        check_frame(path, image.shape, frame)
        try:
            voxels = np.asanyarray(image.dataobj if frame is None else image.dataobj[..., frame])
        except (EOFError, OSError, ValueError, zlib.error) as error:
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
        dtype = np.dtype(cast(nibabel.arrayproxy.ArrayProxy, image.dataobj).dtype)
        if dtype.kind not in "biuf":
            sentence = f"its voxels are {dtype}, not single real numbers"
            raise RefusedError(Code.UNSUPPORTED, sentence)
        header = image.header
        if int(header["sform_code"]) <= 0 and int(header["qform_code"]) <= 0:
            sentence = "neither its sform nor its qform is set: which way the axes point is unknown"
            raise RefusedError(Code.NO_GEOMETRY, sentence)
        affine = np.asarray(image.affine, dtype=np.float64)
        check_affine(affine)
        return shape, affine

    def parts(self, path: Path) -> tuple[Path, ...]:
        """Return no further file: one holds all."""
        return ()


def _load(path: Path) -> nibabel.Nifti1Image:
    try:
        return cast(nibabel.Nifti1Image, nibabel.load(path))
    except FileNotFoundError as error:
        raise RefusedError(Code.UNREADABLE, "there is no such file", path) from error
    except PermissionError as error:
        raise RefusedError(Code.UNREADABLE, "reading it is not permitted", path) from error
    except (ImageFileError, EOFError, OSError, ValueError, zlib.error) as error:
        sentence = f"named NIfTI, but its header cannot be read ({type(error).__name__})"
        raise RefusedError(Code.UNREADABLE, sentence, path) from error
