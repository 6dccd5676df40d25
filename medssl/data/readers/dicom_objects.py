"""The label that DICOM segmentations and RT structure sets make together, on their image's grid."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from medssl.data.dicom.damage import refusing_damage
from medssl.data.dicom.header import read_dataset
from medssl.data.dicom.quiet import quietly
from medssl.data.dicom.regions import Classes, is_structure_set
from medssl.data.readers._canvas import Canvas
from medssl.data.readers.dicom_segmentation import draw_segmentation
from medssl.data.readers.dicom_structures import draw_structures
from medssl.data.verdicts import RefusedError
from medssl.data.volume import Volume
from medssl.geometry import Affine


def draw_objects(
    objects: Iterable[tuple[Path, Classes]], shape: Sequence[int], affine: Affine
) -> Volume:
    """Draw all objects of an image as one label; where several draw, they must agree.

    Args:
        objects: Each with the classes that are taken of it.
        shape: Of the image.
        affine: Of the image, to RAS+ mm.

    Raises:
        RefusedError: Naming the file, if one cannot be drawn; naming none, if voxels have
            several classes.
    """
    canvas = Canvas(shape, affine)
    for path, classes in objects:
        try:
            with quietly(), refusing_damage():
                _draw(path, classes, canvas)
        except RefusedError as refusal:
            raise RefusedError(refusal.code, refusal.sentence, path) from refusal
    return canvas.volume()


def _draw(path: Path, classes: Classes, canvas: Canvas) -> None:
    found = read_dataset(path)
    if is_structure_set(found):
        draw_structures(found, classes, canvas)
    else:
        draw_segmentation(path, found, classes, canvas)
