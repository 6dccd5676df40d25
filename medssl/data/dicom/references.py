"""Which images a DICOM segmentation or an RT structure set is about, by its header alone.

Source: DICOM PS3.3 2024, C.7.6.16.2.6 (derivation image), C.12.4 (common instance reference),
C.8.8.5 (structure set), C.8.8.6 (ROI contour).
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pydicom

from medssl.data.dicom.damage import refusing_damage
from medssl.data.dicom.elements import text
from medssl.data.dicom.header import read_dataset
from medssl.data.dicom.quiet import quietly
from medssl.data.dicom.regions import (
    Classes,
    is_structure_set,
    roi_classes,
    roi_contours,
    segment_frames,
)


@dataclass(frozen=True)
class Reference:
    """An image that an object names.

    Args:
        sop_uid: Its instance.
        frames: Which frames of it, from 1; all, if there are none.
    """

    sop_uid: str
    frames: tuple[int, ...] = ()


@dataclass(frozen=True, kw_only=True)
class References:
    """What an object says of the images that it is about.

    Args:
        sop_uid: The object itself.
        drawn_on: Images that frames or contours of its classes were drawn on.
        listed: Images that it names as a whole.
        series_uids: Series of these.
        space_uids: Frames of reference of its coordinates.
    """

    sop_uid: str
    drawn_on: frozenset[Reference]
    listed: frozenset[Reference]
    series_uids: frozenset[str]
    space_uids: frozenset[str]


def read_references(path: Path, classes: Classes) -> References:
    """Read which images an object is about; no pixel and no point of a contour is looked at.

    Raises:
        RefusedError: If none of its parts is a class, or it is damaged.
    """
    with quietly(), refusing_damage():
        found = read_dataset(path)
        if is_structure_set(found):
            return _of_structures(found, classes)
        return _of_segmentation(found, classes)


def _of_segmentation(found: pydicom.Dataset, classes: Classes) -> References:
    series = found.get("ReferencedSeriesSequence") or []
    listed = [
        *_images(found.get("SourceImageSequence")),
        *(image for one in series for image in _images(one.get("ReferencedInstanceSequence"))),
    ]
    shared = found.get("SharedFunctionalGroupsSequence") or []
    groups = [*shared, *(frame.groups for frame in segment_frames(found, classes))]
    drawn_on = (
        image
        for group in groups
        for derivation in group.get("DerivationImageSequence") or []
        for image in _images(derivation.get("SourceImageSequence"))
    )
    return References(
        sop_uid=text(found.get("SOPInstanceUID")),
        drawn_on=frozenset(drawn_on),
        listed=frozenset(listed),
        series_uids=_uids(one.get("SeriesInstanceUID") for one in series),
        space_uids=_uids([found.get("FrameOfReferenceUID")]),
    )


def _of_structures(found: pydicom.Dataset, classes: Classes) -> References:
    spaces = found.get("ReferencedFrameOfReferenceSequence") or []
    series = [
        one
        for space in spaces
        for study in space.get("RTReferencedStudySequence") or []
        for one in study.get("RTReferencedSeriesSequence") or []
    ]
    listed = (image for one in series for image in _images(one.get("ContourImageSequence")))
    drawn_on = (
        image
        for contour in roi_contours(found, classes)
        for image in _images(contour.said.get("ContourImageSequence"))
    )
    rois = roi_classes(found, classes)
    of_rois = _uids(
        roi.get("ReferencedFrameOfReferenceUID")
        for roi in found.get("StructureSetROISequence") or []
        if int(roi.get("ROINumber") or 0) in rois
    )
    of_all = _uids(space.get("FrameOfReferenceUID") for space in spaces)
    return References(
        sop_uid=text(found.get("SOPInstanceUID")),
        drawn_on=frozenset(drawn_on),
        listed=frozenset(listed),
        series_uids=_uids(one.get("SeriesInstanceUID") for one in series),
        space_uids=of_rois or of_all or _uids([found.get("FrameOfReferenceUID")]),
    )


def _images(items: Iterable[pydicom.Dataset] | None) -> Iterator[Reference]:
    for item in items or []:
        frames = text(item.get("ReferencedFrameNumber"))
        sop_uid = text(item.get("ReferencedSOPInstanceUID"))
        if sop_uid:
            yield Reference(sop_uid, tuple(int(one) for one in frames.split("\\") if one))


def _uids(values: Iterable[object]) -> frozenset[str]:
    return frozenset(filter(None, map(text, values)))
