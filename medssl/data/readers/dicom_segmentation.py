"""DICOM segmentations, drawn on the grid of the image that they are of.

Each frame is placed by its plane: the centers of its pixels must be centers of voxels of the
image, in whatever order and direction. A fraction of a half or more is inside.

Source: DICOM PS3.3 2024, A.51, C.8.20 (segmentation), C.7.6.2.1.1 (image plane).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pydicom
from jaxtyping import Float64, Int64, Shaped, UInt16

from medssl.data.dicom.bits import read_bits
from medssl.data.dicom.elements import numbers, text
from medssl.data.dicom.pixels import read_frames
from medssl.data.dicom.regions import Classes, Frame, segment_classes, segment_frames
from medssl.data.readers._canvas import Canvas
from medssl.data.verdicts import Code, RefusedError
from medssl.geometry import lps_to_ras

OFF_GRID_VOX = 0.1  # how far the center of a pixel may lie from a voxel's
CHUNK_BYTES = 1 << 27  # of frames that are decoded at once
MOST = 1 << 16  # different numbers that a pixel of a label map may be


def draw_segmentation(path: Path, found: pydicom.Dataset, classes: Classes, canvas: Canvas) -> None:
    """Draw the segments that are classes.

    Args:
        path: The file.
        found: Its header.
        classes: By the label of a segment.
        canvas: What is drawn on.

    Raises:
        RefusedError: If it does not lie on the canvas' grid, or cannot be decoded.
    """
    frames = segment_frames(found, classes)
    rows, columns = int(found.Rows), int(found.Columns)
    planes = [_plane(frame, (columns, rows), canvas) for frame in frames]
    meaning = _Meaning.of(found, classes)
    outside = 0
    for frame, plane, stored in zip(frames, planes, _stored(path, found, frames), strict=True):
        values = meaning(stored, frame.value)
        row, column = np.nonzero(values)
        voxels = plane @ np.stack([column, row, np.ones_like(row)])
        inside = ((voxels >= 0) & (voxels < np.array(canvas.values.shape)[:, None])).all(axis=0)
        outside += int((~inside).sum())
        canvas.draw(voxels[:, inside], values[row, column][inside])
    if outside:
        sentence = f"{outside} of its voxels lie outside of the image that it is of"
        raise RefusedError(Code.LABEL_GRID_DIFFERS, sentence)


def _plane(frame: Frame, shape: tuple[int, int], canvas: Canvas) -> Int64[np.ndarray, "3 3"]:
    """Return the matrix from a pixel (column, row, 1) of a frame to a voxel of the image.

    Raises:
        RefusedError: If the frame does not say where it is, or pixels are no voxels.
    """
    exact = np.linalg.solve(canvas.affine, _affine(frame))[:3][:, [0, 1, 3]]
    plane = np.rint(exact)
    corners = np.array([[c, r, 1] for c in (0, shape[0] - 1) for r in (0, shape[1] - 1)]).T
    off_vox = float(np.abs((exact - plane) @ corners).max())
    is_turn = np.array_equal(plane[:, :2].T @ plane[:, :2], np.eye(2))
    if not is_turn or not off_vox <= OFF_GRID_VOX:
        how = f"they are off by up to {off_vox:.3g} voxels" if is_turn else "axes or spacing differ"
        sentence = f"the pixels of its frame {frame.number} are no voxels of the image: {how}"
        raise RefusedError(Code.LABEL_GRID_DIFFERS, sentence)
    return plane.astype(np.int64)


def _affine(frame: Frame) -> Float64[np.ndarray, "4 4"]:
    """Return the affine of a frame, from (column, row, 0) to RAS+ mm."""
    lengths = (("PixelSpacing", 2), ("ImageOrientationPatient", 6), ("ImagePositionPatient", 3))
    said = [numbers(frame.said.get(name), length) for name, length in lengths]
    lacking = [name for (name, _), value in zip(lengths, said, strict=True) if value is None]
    if lacking:
        sentence = f"its frame {frame.number} does not say where it is: no {', '.join(lacking)}"
        raise RefusedError(Code.NO_GEOMETRY, sentence)
    spacing_mm, axes, position_mm = (np.array(value, np.float64) for value in said)
    if not np.isfinite(np.concatenate([spacing_mm, axes, position_mm])).all():
        raise RefusedError(Code.NO_GEOMETRY, f"where its frame {frame.number} is is no number")
    lps = np.eye(4)
    lps[:3, 0] = axes[:3] * spacing_mm[1]
    lps[:3, 1] = axes[3:] * spacing_mm[0]
    lps[:3, 3] = position_mm
    return lps_to_ras(lps)


def _stored(
    path: Path, found: pydicom.Dataset, frames: Sequence[Frame]
) -> Iterator[Shaped[np.ndarray, "row column"]]:
    """Yield the pixels of frames as they are stored."""
    places = [frame.number for frame in frames]
    if int(found.BitsAllocated) == 1 and not found.file_meta.TransferSyntaxUID.is_encapsulated:
        yield from read_bits(path, places)
        return
    frame_bytes = int(found.Rows) * int(found.Columns) * max(int(found.BitsAllocated) // 8, 1)
    step = max(CHUNK_BYTES // max(frame_bytes, 1), 1)
    for first in range(0, len(places), step):
        chunk = places[first : first + step]
        for pixels in read_frames(path, chunk, [(1.0, 0.0)] * len(chunk)):
            yield pixels.stored


@dataclass(frozen=True)
class _Meaning:
    """From stored numbers to classes.

    Args:
        least: The least number that is inside of a frame's segment.
        of_number: The class of each number in a label map.
    """

    least: float
    of_number: UInt16[np.ndarray, "number"] | None

    @classmethod
    def of(cls, found: pydicom.Dataset, classes: Classes) -> "_Meaning":
        kind = text(found.get("SegmentationType"))
        if kind != "LABELMAP":
            most = int(found.get("MaximumFractionalValue") or 255) if kind == "FRACTIONAL" else 1
            return cls(most / 2, None)
        of_number = np.zeros(MOST, np.uint16)
        for segment, value in segment_classes(found, classes).items():
            of_number[segment] = value
        return cls(0, of_number)

    def __call__(
        self, stored: Shaped[np.ndarray, "row column"], value: int | None
    ) -> UInt16[np.ndarray, "row column"]:
        if self.of_number is not None:
            return self.of_number[stored]
        return np.where(stored >= self.least, value or 0, 0).astype(np.uint16)
