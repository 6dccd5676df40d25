"""What of a DICOM segmentation or an RT structure set is asked for, by the names of its parts.

A segment's label and the name of a region of interest are free text: they are compared to what
the config lists, without regard to case and surrounding blanks, and are never said.

Source: DICOM PS3.3 2024, C.8.20.2 (segmentation image), C.8.8.5 (structure set), C.8.8.6 (ROI
contour).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import pydicom

from medssl.data.dicom.elements import number, text
from medssl.data.dicom.frames import frames_of
from medssl.data.verdicts import Code, RefusedError

Classes = Mapping[str, int]  # by the name of a segment or a region of interest

TYPES = {"BINARY", "FRACTIONAL", "LABELMAP"}
CLOSED = {"CLOSED_PLANAR", "CLOSEDPLANAR_XOR"}
CORNERS = 3  # of a contour that encloses something


@dataclass(frozen=True)
class Frame:
    """A frame of a segmentation that is asked for.

    Args:
        number: In its file, from 1.
        said: What is said of it, by the keywords of a file of one image.
        value: The class of its voxels; none where its pixels say which segment they are of.
        groups: Its functional groups.
    """

    number: int
    said: Mapping[str, Any]
    value: int | None
    groups: pydicom.Dataset


@dataclass(frozen=True)
class Contour:
    """A contour of a structure set that is asked for.

    Args:
        roi: The number of its region of interest.
        value: The class of what it encloses.
        said: The item that describes it.
    """

    roi: int
    value: int
    said: pydicom.Dataset


def folded(name: str) -> str:
    """Return a name as it is compared."""
    return name.strip().casefold()


def is_structure_set(found: pydicom.Dataset) -> bool:
    """Say whether it is an RT structure set; a segmentation if it is not."""
    return text(found.get("Modality")) == "RTSTRUCT"


def segment_classes(found: pydicom.Dataset, classes: Classes) -> dict[int, int]:
    """Return the class of each segment that is asked for, by the segment's number.

    Raises:
        RefusedError: If there is none.
    """
    items = found.get("SegmentSequence") or []
    named = [(item.get("SegmentNumber"), item.get("SegmentLabel")) for item in items]
    what = f"a DICOM segmentation of {len(named)} segments"
    return _require(_asked(named, classes), Code.SEGMENTATION, what)


def segment_frames(found: pydicom.Dataset, classes: Classes) -> list[Frame]:
    """Return the frames that segments which are asked for may have voxels in.

    Raises:
        RefusedError: If there is none, or frames do not say what they are of.
    """
    segments = segment_classes(found, classes)
    kind = text(found.get("SegmentationType"))
    if kind not in TYPES:
        sentence = f"a segmentation whose type is none of {', '.join(sorted(TYPES))}"
        raise RefusedError(Code.UNSUPPORTED, sentence)
    frames = []
    for place, said in frames_of(found):
        groups = found["PerFrameFunctionalGroupsSequence"].value[place - 1]
        segment = number(said.get("ReferencedSegmentNumber"))
        if kind == "LABELMAP":
            frames.append(Frame(place, said, None, groups))
        elif segment is None:
            raise RefusedError(Code.UNSUPPORTED, "its frames do not say which segment they are of")
        elif segment in segments:
            frames.append(Frame(place, said, segments[int(segment)], groups))
    if not frames:
        sentence = f"a DICOM segmentation without a frame of its {len(segments)} classes"
        raise RefusedError(Code.SEGMENTATION, sentence)
    return frames


def roi_classes(found: pydicom.Dataset, classes: Classes) -> dict[int, int]:
    """Return the class of each region of interest that is asked for, by the region's number.

    Raises:
        RefusedError: If there is none.
    """
    items = found.get("StructureSetROISequence") or []
    named = [(item.get("ROINumber"), item.get("ROIName")) for item in items]
    what = f"an RT structure set of {len(named)} regions"
    return _require(_asked(named, classes), Code.STRUCTURES, what)


def roi_contours(found: pydicom.Dataset, classes: Classes) -> list[Contour]:
    """Return the contours of regions that are asked for, but those that enclose nothing.

    Raises:
        RefusedError: If there is none, or one is not closed and planar.
    """
    rois = roi_classes(found, classes)
    contours = [
        Contour(roi, rois[roi], item)
        for drawn in found.get("ROIContourSequence") or []
        if (roi := int(drawn.get("ReferencedROINumber") or 0)) in rois
        for item in drawn.get("ContourSequence") or []
    ]
    open_ones = [c for c in contours if text(c.said.get("ContourGeometricType")) not in CLOSED]
    if open_ones:
        sentence = (
            f"{len(open_ones)} of the {len(contours)} contours of its classes are not closed and "
            "planar: they enclose nothing"
        )
        raise RefusedError(Code.UNSUPPORTED, sentence)
    closed = [c for c in contours if _corners(c.said) >= CORNERS]
    if not closed:
        sentence = f"an RT structure set without a contour of its {len(rois)} classes"
        raise RefusedError(Code.STRUCTURES, sentence)
    return closed


def _corners(contour: pydicom.Dataset) -> float:
    """Return how many points a contour promises; what does not say may have enough."""
    promised = number(contour.get("NumberOfContourPoints"))
    return CORNERS if promised is None else promised


def _require(asked: dict[int, int], code: Code, what: str) -> dict[int, int]:
    if not asked:
        raise RefusedError(code, f"{what}, none of which is a class")
    return asked


def _asked(named: Iterable[tuple[Any, Any]], classes: Classes) -> dict[int, int]:
    values = {folded(name): value for name, value in classes.items()}
    return {
        int(part): values[folded(text(name))]
        for part, name in named
        if folded(text(name)) in values
    }
