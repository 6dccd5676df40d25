"""MedMNIST: all images of a data set in one archive, with its own splits and classes.

Source: Yang et al., "MedMNIST v2", Scientific Data 10:41, 2023; https://medmnist.com: the arrays
`train_images` (N, H, W), of color (N, H, W, 3) or of volumes (N, D, H, W), `train_labels` (N, L),
and the same of `val` and `test`. Neither spacing nor orientation nor patients are in it: each row
counts as a patient, as its splits do.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
from jaxtyping import Integer

from medssl.data.layouts import Held
from medssl.data.layouts._axes import (
    FRAMES,
    affine_of,
    check_axes,
    check_orientation,
    check_spacing,
    in_order,
    orientation_said,
)
from medssl.data.layouts._npz import Array, arrays, check_sums
from medssl.data.readers._grids import check_axes as check_shape
from medssl.data.readers._grids import check_frame
from medssl.data.verdicts import Code, RefusedError
from medssl.data.volume import Volume
from medssl.errors import DataError
from medssl.geometry import Affine

__all__ = ["Medmnist"]

SPLITS = ("train", "val", "test")
IMAGES = tuple(f"{split}_images" for split in SPLITS)
LABELS = tuple(f"{split}_labels" for split in SPLITS)


@dataclass(frozen=True, kw_only=True)
class Medmnist:
    """Reads `.npz` archives of volumes, or of gray images as volumes of one slice.

    Args:
        spacing_mm: Of voxels along i, j and k; no archive says it.
        axes: Which axis of an image is which of the volume's; of an image of two axes, those of
            its i and j.
        orientation: Towards which side of the patient i, j and k run, such as LPS; null where
            nobody knows, which every case then says.
        classes: Names of the labels' numbers, or of their columns where there are several; the
            numbers themselves without them.
    """

    suffixes: ClassVar[tuple[str, ...]] = (".npz",)

    spacing_mm: tuple[float, float, float]
    axes: str = "kji"
    orientation: str | None = None
    classes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_spacing(self.spacing_mm)
        check_axes(self.axes)
        check_orientation(self.orientation)
        if FRAMES in self.axes:
            msg = f"axes are those of one image, without frames, got {self.axes!r}"
            raise ValueError(msg)

    @property
    def attributes(self) -> dict[str, str]:
        """What is to be said of each case."""
        return orientation_said(self.orientation)

    def parts(self, path: Path) -> tuple[Path, ...]:
        """Return no further file: one holds all."""
        return ()

    def grid(self, path: Path) -> tuple[tuple[int, ...], Affine]:
        """Return shape and affine; the rows of train, val and test are frames, in this order.

        Raises:
            RefusedError: If it is no such archive, or one of color images.
        """
        return self._grid(arrays(path, IMAGES))

    def _grid(self, found: Sequence[Array]) -> tuple[tuple[int, ...], Affine]:
        kinds = {(array.shape[1:], array.dtype) for array in found}
        if len(kinds) != 1 or {array.dtype.kind for array in found} - set("iuf"):
            sentence = "arrays of images that are not alike, or no numbers"
            raise RefusedError(Code.UNSUPPORTED, sentence)
        shape = self._shape(found[0].shape[1:])
        frames = (*shape, sum(array.shape[0] for array in found))
        check_shape(frames, "MedMNIST")
        return frames, affine_of(self.spacing_mm, self.orientation)

    def held(self, path: Path) -> tuple[Held, ...]:
        """Return split and classes of each row, once its bytes were found whole.

        Raises:
            RefusedError: If labels and images are not as many, or a byte is another than when it
                was written.
        """
        check_sums(path)
        rows = []
        found = zip(SPLITS, arrays(path, IMAGES), arrays(path, LABELS), strict=True)
        for split, images, labels in found:
            if len(labels.shape) != 2 or labels.shape[0] != images.shape[0]:
                sentence = f"labels of shape {labels.shape} for images of shape {images.shape}"
                raise RefusedError(Code.UNSUPPORTED, sentence)
            for row, said in enumerate(labels.rows(0, labels.shape[0])):
                classes = self._classes(said)
                rows.append(Held(name=f"{split}/{row}", split=split, classes=classes))
        return tuple(rows)

    def read(self, path: Path, *, frame: int | None = None) -> Volume:
        """Return the image of a row, in its stored number type.

        Raises:
            RefusedError: If it cannot be read.
            DataError: If there is no such row.
        """
        found = arrays(path, IMAGES)
        shape, affine = self._grid(found)
        check_frame(path, shape, frame)
        row = int(frame or 0)
        for array in found:
            if row < array.shape[0]:
                return Volume(self._image(array, row), affine)
            row -= array.shape[0]
        msg = f"{path}: there is no row {frame}"
        raise DataError(msg)

    def read_label(self, path: Path, *, frame: int | None = None) -> Volume:
        """Raise: what is known of a row is known of the whole of it."""
        msg = f"{path}: a MedMNIST archive holds classes, no label volumes"
        raise DataError(msg)

    def _shape(self, stored: tuple[int, ...]) -> tuple[int, ...]:
        """Return the lengths along i, j and k of an image.

        Raises:
            RefusedError: If it is of color, or has more axes.
        """
        if len(stored) == 3 and stored[2] == 3:
            sentence = f"color images of shape {stored}: volumes and gray images are read"
            raise RefusedError(Code.COLOR, sentence)
        if len(stored) not in (2, 3):
            sentence = f"images of shape {stored}: a volume has 3 axes, a gray image 2"
            raise RefusedError(Code.UNSUPPORTED, sentence)
        axes = self._axes_of(stored)
        return tuple(stored[axes.index(axis)] if axis in axes else 1 for axis in "ijk")

    def _axes_of(self, stored: tuple[int, ...]) -> str:
        return self.axes if len(stored) == 3 else self.axes.replace("k", "")

    def _image(self, array: Array, row: int) -> np.ndarray:
        (voxels,) = array.rows(row, row + 1)
        if voxels.ndim == 2:
            return in_order(voxels[..., None], f"{self._axes_of(voxels.shape)}k")[None]
        return in_order(voxels, self.axes)[None]

    def _classes(self, said: Integer[np.ndarray, "column"]) -> tuple[str, ...]:
        """Return the class of one column, or the classes of those of several that hold 1.

        Raises:
            RefusedError: If a class has no name.
        """
        numbers = [int(said[0])] if len(said) == 1 else np.flatnonzero(said).tolist()
        if not self.classes:
            return tuple(map(str, numbers))
        if strange := [number for number in numbers if not 0 <= number < len(self.classes)]:
            sentence = f"a label {strange[0]}; the config names {len(self.classes)} classes"
            raise RefusedError(Code.UNSUPPORTED, sentence)
        return tuple(self.classes[number] for number in numbers)
