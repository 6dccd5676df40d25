"""The frames of an enhanced image, each described as if it stood in a file of its own.

Source: DICOM PS3.3 2024, C.7.6.16 (multi-frame functional groups), C.7.6.17 (dimensions),
C.8.13 (enhanced MR), C.8.15 (enhanced CT).
"""

from collections.abc import Container, Iterator, Mapping, Sequence
from typing import Any

import pydicom

from medssl.data.verdicts import Code, RefusedError

ENHANCED = {
    "EnhancedCTImageStorage", "EnhancedMRImageStorage", "EnhancedPETImageStorage",
    "LegacyConvertedEnhancedCTImageStorage", "LegacyConvertedEnhancedMRImageStorage",
    "LegacyConvertedEnhancedPETImageStorage",
}  # fmt: skip

GROUPS = [
    "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence", "DimensionIndexSequence",
]  # fmt: skip

# What is read of a functional group, and what it is called in a file of one image. The path to
# a group is the path to the standard's: private groups repeat such elements with other values.
_FRAME_TYPE = {"FrameType": "ImageType", "ComplexImageComponent": "ComplexImageComponent"}
MACROS: Mapping[tuple[str, ...], Mapping[str, str]] = {
    ("PlanePositionSequence",): {"ImagePositionPatient": "ImagePositionPatient"},
    ("PlaneOrientationSequence",): {"ImageOrientationPatient": "ImageOrientationPatient"},
    ("PixelMeasuresSequence",): {
        "PixelSpacing": "PixelSpacing",
        "SpacingBetweenSlices": "SpacingBetweenSlices",
    },
    ("PixelValueTransformationSequence",): {
        "RescaleSlope": "RescaleSlope",
        "RescaleIntercept": "RescaleIntercept",
    },
    ("FrameContentSequence",): {
        "StackID": "StackID",
        "TemporalPositionIndex": "TemporalPositionIdentifier",
        "FrameAcquisitionNumber": "FrameAcquisitionNumber",
        "FrameAcquisitionDateTime": "AcquisitionDateTime",
    },
    ("SegmentIdentificationSequence",): {"ReferencedSegmentNumber": "ReferencedSegmentNumber"},
    ("MRImageFrameTypeSequence",): _FRAME_TYPE,
    ("CTImageFrameTypeSequence",): _FRAME_TYPE,
    ("PETFrameTypeSequence",): _FRAME_TYPE,
    ("MREchoSequence",): {"EffectiveEchoTime": "EchoTime"},
    ("MRModifierSequence",): {"InversionTimes": "InversionTime"},
    ("MRDiffusionSequence",): {"DiffusionBValue": "DiffusionBValue"},
    ("MRDiffusionSequence", "DiffusionGradientDirectionSequence"): {
        "DiffusionGradientOrientation": "DiffusionGradientOrientation"
    },
    ("CardiacSynchronizationSequence",): {"NominalCardiacTriggerDelayTime": "TriggerTime"},
    ("CTReconstructionSequence",): {"ConvolutionKernel": "ConvolutionKernel"},
    ("CTXRayDetailsSequence",): {"KVP": "KVP"},
}
# A frame that does not say these does not have them, whatever stands outside of the groups.
OF_FRAMES = {"ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing"}
MOST_FRAMES = 100_000
# Dimensions that say where a frame is, not what tells it from others at its place.
PLACES = {0x00209056, 0x00209057, 0x00209113, 0x00200032, 0x00209116, 0x00200037}


def frames_of(
    found: pydicom.Dataset, only: Container[int | None] | None = None
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield the number of each frame, from 1, and what is said of it, by classic keywords.

    Args:
        found: The header of an enhanced image.
        only: The frames to look at; all, if it is none.

    Raises:
        RefusedError: If there are not as many descriptions as frames, or more than any.
    """
    promised = int(found.get("NumberOfFrames") or 1)
    if promised > MOST_FRAMES:
        sentence = (
            f"an enhanced image of {promised} frames; the most that are read is {MOST_FRAMES}"
        )
        raise RefusedError(Code.MULTI_FRAME, sentence)
    described = found.get("PerFrameFunctionalGroupsSequence") or []
    if len(described) != promised:
        sentence = f"an enhanced image of {promised} frames that describes {len(described)} of them"
        raise RefusedError(Code.MULTI_FRAME, sentence)
    said = {element.keyword: element.value for element in found if element.VR != "SQ"}
    common = {keyword: value for keyword, value in said.items() if keyword not in OF_FRAMES}
    for groups in found.get("SharedFunctionalGroupsSequence") or []:
        common |= _flat(groups)
    apart = [
        row
        for row, dimension in enumerate(found.get("DimensionIndexSequence") or [])
        if int(dimension.get("DimensionIndexPointer") or 0) not in PLACES
    ]
    for number, groups in enumerate(described, start=1):
        if only is None or number in only:
            yield number, common | _flat(groups) | _indices(groups, apart)


def _flat(groups: pydicom.Dataset) -> dict[str, Any]:
    """Return the elements of the groups that are known, without empty ones."""
    said: dict[str, Any] = {}
    for path, names in MACROS.items():
        group = _inner(groups, path)
        said |= {
            name: group.get(keyword)
            for keyword, name in names.items()
            if group is not None and group.get(keyword) not in (None, "")
        }
    return said


def _inner(groups: pydicom.Dataset, path: Sequence[str]) -> pydicom.Dataset | None:
    """Return the first item that a path of sequences leads to."""
    item: pydicom.Dataset | None = groups
    for keyword in path:
        items = item.get(keyword) if item is not None else None
        item = items[0] if items else None
    return item


def _indices(groups: pydicom.Dataset, apart: Sequence[int]) -> dict[str, Any]:
    """Return the frame's place along the dimensions that are not of space."""
    content = _inner(groups, ("FrameContentSequence",))
    found = None if content is None else content.get("DimensionIndexValues")
    values = [found] if isinstance(found, int) else list(found or [])
    if not apart or apart[-1] >= len(values):
        return {}
    return {"DimensionIndexValues": tuple(int(values[row]) for row in apart)}
