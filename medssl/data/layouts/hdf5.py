"""HDF5 with a volume a file: image, label and perhaps spacing under keys that the config names."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

import h5py
import numpy as np

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
from medssl.data.layouts._hdf5 import attribute, find, opened, read
from medssl.data.readers._grids import check_affine, check_frame
from medssl.data.readers._grids import check_axes as check_shape
from medssl.data.verdicts import Code, RefusedError
from medssl.data.volume import Volume
from medssl.geometry import Affine

__all__ = ["Hdf5"]


@dataclass(frozen=True, kw_only=True)
class Hdf5:
    """Reads files whose arrays are one image, or its frames, and its label.

    Args:
        image: The image's key; slashes lead into groups.
        label: The label's, if there are labels. A label has the image's axes, or the same less
            that of frames, and is then of each frame.
        axes: Which axis of the array is which of the volume's: kji where slices come first and
            columns last; t is an axis of frames, each of which is a case.
        spacing_mm: Of voxels along i, j and k.
        spacing_key: Where the file says it instead: an array, or an attribute of the image or
            of the file.
        spacing_axes: The order in which the file gives the three numbers.
        orientation: Towards which side of the patient i, j and k run, such as LPS; null where
            nobody knows, which every case then says.
        unlabeled: What becomes of an image without label, if labels are asked for.
    """

    suffixes: ClassVar[tuple[str, ...]] = (".h5", ".hdf5")

    image: str
    label: str | None = None
    axes: str
    spacing_mm: tuple[float, float, float] | None = None
    spacing_key: str | None = None
    spacing_axes: str = "ijk"
    orientation: str | None = None
    unlabeled: Literal["refuse", "keep"] = "refuse"

    def __post_init__(self) -> None:
        check_axes(self.axes)
        check_orientation(self.orientation)
        if sorted(self.spacing_axes) != list("ijk"):
            msg = f"spacing_axes must name i, j and k once each, got {self.spacing_axes!r}"
            raise ValueError(msg)
        if (self.spacing_mm is None) == (self.spacing_key is None):
            msg = "expected exactly one of spacing_mm and spacing_key"
            raise ValueError(msg)
        if self.spacing_mm is not None:
            check_spacing(self.spacing_mm)

    @property
    def attributes(self) -> dict[str, str]:
        """What is to be said of each case."""
        return orientation_said(self.orientation)

    def parts(self, path: Path) -> tuple[Path, ...]:
        """Return no further file: one holds all."""
        return ()

    def grid(self, path: Path) -> tuple[tuple[int, ...], Affine]:
        """Return shape, frames last, and affine, without reading voxels.

        Raises:
            RefusedError: If there is no such image, or not with these axes.
        """
        with opened(path) as file:
            return self._grid(file)

    def held(self, path: Path) -> tuple[Held, ...]:
        """Return, for each frame, whether the file holds its label.

        Raises:
            RefusedError: If image or label are not there as the config says.
        """
        with opened(path) as file:
            shape, _ = self._grid(file)
            has_label = self._has_label(file, shape)
        return (Held(has_label=has_label),) * (shape[3] if len(shape) == 4 else 1)

    def read(self, path: Path, *, frame: int | None = None) -> Volume:
        """Return one volume of one channel, in its stored number type.

        Raises:
            RefusedError: If it cannot be read.
            DataError: If the axes and the frame do not fit.
        """
        with opened(path) as file:
            shape, affine = self._grid(file)
            check_frame(path, shape, frame)
            return _volume(required(file, self.image), self.axes, affine, frame)

    def read_label(self, path: Path, *, frame: int | None = None) -> Volume:
        """Return the label of the image, or of one of its frames.

        Raises:
            RefusedError: If it cannot be read.
        """
        with opened(path) as file:
            shape, affine = self._grid(file)
            if self.label is None or not self._has_label(file, shape):
                sentence = "the label that was there when it was indexed is not"
                raise RefusedError(Code.IMAGE_WITHOUT_LABEL, sentence)
            label = required(file, self.label)
            return _volume(label, self._axes_of(label), affine, frame)

    def _grid(self, file: h5py.File) -> tuple[tuple[int, ...], Affine]:
        image = required(file, self.image)
        shape = _shape(image, self.axes)
        check_shape(shape, "HDF5")
        affine = affine_of(self.spacing_mm or self._stored_mm(file, image), self.orientation)
        check_affine(affine)
        return shape, affine

    def _stored_mm(self, file: h5py.File, image: h5py.Dataset) -> tuple[float, ...]:
        """Return what the file says of the spacing along i, j and k."""
        key = str(self.spacing_key)
        array = find(file, key)
        said = read(array) if array is not None and array.size == 3 else array
        for thing in (image, file):
            said = attribute(thing, key) if said is None else said
        if said is None:
            raise RefusedError(Code.NO_GEOMETRY, f"it says no spacing under {key!r}")
        numbers = [float(number) for number in np.ravel(said)] if said.size == 3 else []
        try:
            check_spacing(numbers)
        except ValueError as error:
            sentence = f"its spacing under {key!r} is {numbers}, not three positive numbers"
            raise RefusedError(Code.NO_GEOMETRY, sentence) from error
        return tuple(numbers[self.spacing_axes.index(axis)] for axis in "ijk")

    def _has_label(self, file: h5py.File, shape: tuple[int, ...]) -> bool:
        """Say whether the label is there.

        Raises:
            RefusedError: If it is not and must be, or does not lie on the image's grid.
        """
        label = None if self.label is None else find(file, self.label)
        if label is None:
            if self.label is not None and self.unlabeled == "refuse":
                sentence = f"an image whose label is not there, under {self.label!r}"
                raise RefusedError(Code.IMAGE_WITHOUT_LABEL, sentence)
            return False
        found = _shape(label, self._axes_of(label))
        if found not in (shape, shape[:3]):
            sentence = f"a label of shape {found} is not on the grid of its image, of shape {shape}"
            raise RefusedError(Code.LABEL_GRID_DIFFERS, sentence)
        return True

    def _axes_of(self, label: h5py.Dataset) -> str:
        """Return the axes of a label, which may be one for all frames."""
        return self.axes if label.ndim == len(self.axes) else self.axes.replace(FRAMES, "")


def required(file: h5py.File, key: str) -> h5py.Dataset:
    """Return the data set under a key.

    Raises:
        RefusedError: If there is none that can be read.
    """
    found = find(file, key)
    if found is None:
        raise RefusedError(Code.NOT_AN_IMAGE, f"an HDF5 file that holds nothing under {key!r}")
    return found


def _shape(data: h5py.Dataset, axes: str) -> tuple[int, ...]:
    """Return the lengths along i, j, k, and of the axis of frames if there is one.

    Raises:
        RefusedError: If there are other axes than these.
    """
    if data.ndim != len(axes):
        sentence = f"an array of shape {data.shape}; the config names its axes {axes!r}"
        raise RefusedError(Code.UNSUPPORTED, sentence)
    return tuple(data.shape[axes.index(axis)] for axis in "ijkt" if axis in axes)


def _volume(data: h5py.Dataset, axes: str, affine: Affine, frame: int | None) -> Volume:
    if FRAMES not in axes:
        return Volume(in_order(read(data), axes)[None], affine)
    where = tuple(int(frame or 0) if axis == FRAMES else slice(None) for axis in axes)
    return Volume(in_order(read(data, where), axes.replace(FRAMES, ""))[None], affine)
