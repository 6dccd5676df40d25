"""What a grid must be before its voxels are worth reading, whatever format says it."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from medssl.data.verdicts import Code, RefusedError
from medssl.errors import DataError
from medssl.geometry import Affine, skewness, spacing_mm

# Axes that lean by more than half a degree are no grid that a spacing describes.
SKEWED = 1e-2
MOST_MM = 1e6
MOST_FRAMES = 10_000  # each of which is a case
MOST_PACKED = 1100  # deflate turns at most 1032 bytes into one


def check_regular(path: Path) -> None:
    """Refuse to open what is there and is no file: a pipe or a device may never end.

    Raises:
        RefusedError: If it is none.
    """
    if path.exists() and not path.is_file():
        raise RefusedError(Code.UNREADABLE, "no regular file", path)


def check_affine(affine: Affine) -> None:
    """Refuse an affine that is none, or whose axes lean.

    Raises:
        RefusedError: If it is one of both.
    """
    if not np.abs(affine).max() <= MOST_MM:
        sentence = (
            f"its affine has entries that are none of a body, up to {np.abs(affine).max():.3g}"
        )
        raise RefusedError(Code.NO_GEOMETRY, sentence)
    if not abs(np.linalg.det(affine)) > 0:
        raise RefusedError(Code.NO_GEOMETRY, "its affine cannot be inverted")
    if skewness(affine) > SKEWED or spacing_mm(affine).min() < 1e-6:
        raise RefusedError(Code.SHEARED, "its axes do not stand at right angles")


def check_axes(shape: tuple[int, ...], kind: str) -> None:
    """Refuse what is no volume and no sequence of volumes, or one without end.

    Raises:
        RefusedError: If there are neither three axes nor four, or one is empty.
    """
    if len(shape) not in (3, 4) or min(shape) < 1:
        sentence = f"a {kind} volume has 3 axes, or 4 with frames; this one has shape {shape}"
        raise RefusedError(Code.UNSUPPORTED, sentence)
    if shape[3:] > (MOST_FRAMES,):
        sentence = f"a {kind} volume of {shape[3]} frames; the most that are read is {MOST_FRAMES}"
        raise RefusedError(Code.UNSUPPORTED, sentence)


def check_frame(path: Path, shape: Sequence[int], frame: int | None) -> None:
    """Refuse to read a frame of a volume that has none, or of several no certain one.

    Raises:
        DataError: If axes and frame do not fit.
    """
    axes = 3 if frame is None else 4
    if len(shape) != axes:
        msg = f"{path}: frame {frame} asks for {axes} axes, this one has shape {tuple(shape)}"
        raise DataError(msg)
    if frame is not None and not 0 <= frame < shape[3]:
        msg = f"{path}: there is no frame {frame} in shape {tuple(shape)}"
        raise DataError(msg)
