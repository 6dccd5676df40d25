"""DICOM series: the slices of one volume, ordered by where they lie.

Source: DICOM PS3.3 2024, C.7.6.2. Array axes are (i, j, k): i counts columns, j rows, k slices
along the normal of their plane; LPS+ becomes RAS+ here.
"""

from collections.abc import Container, Sequence
from pathlib import Path

from medssl.data.dicom.header import Header, read_headers
from medssl.data.dicom.images import read_values
from medssl.data.dicom.kinds import require_slices
from medssl.data.dicom.regrid import NOTHING, Allowed
from medssl.data.dicom.stack import Stack
from medssl.data.dicom.stacks import Misfit, stacks
from medssl.data.volume import Volume
from medssl.errors import DataError

__all__ = ["DicomSeries"]


class DicomSeries:
    """Reads a folder of slices, or a list of them, as one volume of rescaled values.

    Args:
        allowed: What may be resampled where slices lie on no grid.
    """

    def __init__(self, allowed: Allowed = NOTHING) -> None:
        self.allowed = allowed

    def read(self, path: Path, *, frame: int | None = None) -> Volume:
        """Return the volume whose slices are the files of a folder."""
        return self.read_files(sorted(p for p in path.iterdir() if p.is_file()), frame=frame)

    def read_files(self, files: Sequence[Path], *, frame: int | None = None) -> Volume:
        """Return the volume that the images in these files make, in whatever order they come.

        Raises:
            RefusedError: If their geometry cannot be had right.
            DataError: If they make several volumes and `frame` does not say which.
        """
        headers = [header for path in files for header in _slices(path)]
        return self._read(headers, frame)

    def read_images(self, images: Sequence[tuple[Path, int | None]]) -> Volume:
        """Return the volume that some images of files make, in whatever order they come.

        Args:
            images: The file and which image of it, from 1; none for a file that is one image.

        Raises:
            RefusedError: If their geometry cannot be had right.
            DataError: If a file has no such image, or they make several volumes.
        """
        wanted: dict[Path, set[int | None]] = {}
        for path, image in images:
            wanted.setdefault(path, set()).add(image)
        headers = [header for path, only in wanted.items() for header in _slices(path, only)]
        if len(headers) != len(images):
            msg = (
                f"{len(images)} images of {len(wanted)} files were asked for, {len(headers)} found"
            )
            raise DataError(msg)
        return self.read_headers(headers)

    def read_headers(self, headers: Sequence[Header]) -> Volume:
        """Return the volume that images make whose headers are read already.

        Raises:
            RefusedError: If their geometry cannot be had right.
            DataError: If they make several volumes.
        """
        return self._read(headers, None)

    def _read(self, headers: Sequence[Header], frame: int | None) -> Volume:
        found = list(stacks(headers, self.allowed))
        volumes = [stack for stack in found if isinstance(stack, Stack) and stack.frame == frame]
        for misfit in found:
            # A frame that is whole is had whatever others lack.
            if isinstance(misfit, Misfit) and (frame is None or not volumes):
                raise misfit.refusal
        if len(volumes) != 1:
            msg = (
                f"{len(headers)} images were to make one volume as frame {frame}, they make "
                f"{len(found)} volumes, {len(volumes)} of that frame"
            )
            raise DataError(msg)
        return self.read_stack(volumes[0])

    def read_stack(self, stack: Stack) -> Volume:
        """Return the volume of slices that are in order already."""
        voxels = read_values(stack.headers)
        return Volume(voxels if stack.regrid is None else stack.regrid(voxels), stack.affine)


def _slices(path: Path, only: Container[int | None] | None = None) -> list[Header]:
    """Return the header of each image that is asked for of a file of slices."""
    headers = read_headers(path, only)
    require_slices(headers)
    return headers
