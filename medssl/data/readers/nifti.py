"""NIfTI-1 and NIfTI-2, through nibabel.

Source: https://nifti.nimh.nih.gov; nibabel gives the affine to RAS+ millimeters already.
"""

import zlib
from pathlib import Path
from typing import cast

import nibabel
import numpy as np
from nibabel.filebasedimages import ImageFileError

from medssl.data.verdicts import Code, RefusedError
from medssl.data.volume import Volume
from medssl.errors import DataError
from medssl.geometry import Affine, skewness, spacing_mm

__all__ = ["Nifti"]

# Axes that lean by more than half a degree are no grid that a spacing describes.
SKEWED = 1e-2


class Nifti:
    """Reads `.nii` and `.nii.gz`; a fourth axis is frames, of which one is read."""

    def read(self, path: Path, *, frame: int | None = None) -> Volume:
        """Return one volume of one channel, in its stored number type.

        Raises:
            DataError: If the axes and the frame do not fit, or the file is damaged.
        """
        image = _load(path)
        axes = 3 if frame is None else 4
        if len(image.shape) != axes:
            msg = f"{path}: frame {frame} asks for {axes} axes, this one has shape {image.shape}"
            raise DataError(msg)
        if frame is not None and not 0 <= frame < image.shape[3]:
            msg = f"{path}: there is no frame {frame} in shape {image.shape}"
            raise DataError(msg)
        try:
            voxels = np.asanyarray(image.dataobj if frame is None else image.dataobj[..., frame])
        except (EOFError, OSError, ValueError, zlib.error) as error:
            sentence = f"its voxels cannot be read ({type(error).__name__}): cut off or damaged"
            raise RefusedError(Code.TRUNCATED, sentence, path) from error
        return Volume(voxels[None], np.asarray(image.affine, dtype=np.float64))


def read_grid(path: Path) -> tuple[tuple[int, ...], Affine]:
    """Return shape, frames included, and affine from the header alone.

    Raises:
        RefusedError: If it holds no volume, or does not say where it is.
    """
    image = _load(path)
    shape = tuple(int(length) for length in image.shape)
    if len(shape) not in (3, 4) or 0 in shape:
        sentence = f"a NIfTI volume has 3 axes, or 4 with frames; this one has shape {shape}"
        raise RefusedError(Code.UNSUPPORTED, sentence)
    dtype = np.dtype(cast(nibabel.arrayproxy.ArrayProxy, image.dataobj).dtype)
    if dtype.kind not in "biuf":
        sentence = f"its voxels are {dtype}, not single real numbers"
        raise RefusedError(Code.UNSUPPORTED, sentence)
    header = image.header
    if int(header["sform_code"]) <= 0 and int(header["qform_code"]) <= 0:
        sentence = "neither its sform nor its qform is set: which way the axes point is unknown"
        raise RefusedError(Code.NO_GEOMETRY, sentence)
    affine = np.asarray(image.affine, dtype=np.float64)
    if not (np.isfinite(affine).all() and abs(np.linalg.det(affine)) > 0):
        raise RefusedError(Code.NO_GEOMETRY, "its affine cannot be inverted")
    if skewness(affine) > SKEWED or spacing_mm(affine).min() < 1e-6:
        raise RefusedError(Code.SHEARED, "its axes do not stand at right angles")
    return shape, affine


def _load(path: Path) -> nibabel.Nifti1Image:
    try:
        return cast(nibabel.Nifti1Image, nibabel.load(path))
    except FileNotFoundError as error:
        msg = f"there is no file {path}"
        raise DataError(msg) from error
    except PermissionError as error:
        raise RefusedError(Code.UNREADABLE, "reading it is not permitted", path) from error
    except (ImageFileError, EOFError, OSError, ValueError, zlib.error) as error:
        sentence = f"named NIfTI, but its header cannot be read ({type(error).__name__})"
        raise RefusedError(Code.UNREADABLE, sentence, path) from error
