"""The header of a DICOM file: what tells its kind, its series, its place and its case.

Source: DICOM PS3.3 2024, C.7.6.2 (image plane), C.7.6.3 (image pixel); PS3.10 7 (file format).
"""

import os
from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import pydicom
from pydicom.errors import InvalidDicomError
from pydicom.uid import UID

from medssl.data.dicom import annotation
from medssl.data.dicom.bounded import open_bounded, read_head
from medssl.data.dicom.content import TAGS as CONTENT
from medssl.data.dicom.content import content
from medssl.data.dicom.damage import refusing_damage
from medssl.data.dicom.elements import (
    Said,
    attributes,
    contrast,
    moments,
    number,
    numbers,
    rounding,
    study_date,
    text,
)
from medssl.data.dicom.frames import ENHANCED, GROUPS, frames_of
from medssl.data.dicom.mosaic import is_mosaic, tiles_of
from medssl.data.dicom.native import Behind, Native, find_frames, find_native
from medssl.data.dicom.plain import Beginning, plain_header, read_beginning
from medssl.data.dicom.quiet import quietly
from medssl.data.verdicts import Code, RefusedError

TAGS = (
    "SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "SeriesNumber",
    "Modality", "ImageType", "PatientID", "IssuerOfPatientID", "NumberOfFrames",
    "Rows", "Columns", "SamplesPerPixel", "PhotometricInterpretation", "PixelSpacing",
    "ImageOrientationPatient", "ImagePositionPatient", "SpacingBetweenSlices",
    "EchoNumbers", "EchoTime", "InversionTime", "ConvolutionKernel", "KVP",
    "TemporalPositionIdentifier", "AcquisitionNumber", "TriggerTime", "DiffusionBValue",
    "DiffusionGradientOrientation", "AcquisitionDateTime", "AcquisitionDate", "AcquisitionTime",
    "ContentTime", "InstanceNumber", "BodyPartExamined", "PatientAge", "PatientSex",
    "Manufacturer", "ManufacturerModelName", "SequenceName", "ScanningSequence",
    "StudyDate", "SeriesDate", "BitsStored", "HighBit", "ModalityLUTSequence",
    "FrameOfReferenceUID", *CONTENT, *annotation.TAGS, *GROUPS,
)  # fmt: skip


class Content(NamedTuple):
    """What is in an image.

    Args:
        digest: Of its values, as hexadecimal.
        dtype: Of these, as far as they alone decide it.
    """

    digest: str
    dtype: str


@dataclass(frozen=True, kw_only=True)
class Header:
    """The header of one image of a file, as Python values.

    Args:
        path: The file.
        sop_class: The kind of object by DICOM's keyword, or the bare UID of an unknown one.
        syntax: The transfer syntax by name.
        series_key: Patient and series, and the folder of a series without UID: what files of one
            series share.
        study_uid: The visit.
        sop_uid: The instance.
        series_uid: The series, where the file says.
        space_uid: The frame of reference, where the file says: what shares it shares coordinates.
        modality: DICOM's code.
        image_type: The values of ImageType.
        num_frames: In this file.
        rows: Of the image; 0 where the file does not say.
        columns: Of the image; 0 where the file does not say.
        samples: A pixel, 1 unless it has color.
        photometric: What the numbers mean.
        pixel_spacing_mm: Between rows, then between columns.
        orientation: Cosines along a row, then along a column, in LPS+.
        position_mm: The center of the first pixel, in LPS+.
        position_rounding_mm: Half a unit of the last digit that the position is written with.
        spacing_between_mm: SpacingBetweenSlices, where the file says.
        contrast: What must agree within a volume: image type, echo, kernel and the like.
        moments: What may tell the frames of a series apart, by the tag's name.
        study_date: Its day in ISO's form; of it a case keeps the days since the patient's first.
        rescale: Slope and intercept, where they are of this image of the file alone.
        image: Its number in the file, from 1; none if the file is one image as it stands.
        native: Where its pixels are, if they stand in the file as they are.
        content: What is in it, if its pixels were read along with the header.
        tiles_across: Tiles along a side of the mosaic that it is a tile of; 0 if it is none.
        flaw: Why the images of the file cannot be told apart, if so.
        attributes: The few values of the patient and the machine that a case may keep.
    """

    path: Path
    sop_class: str
    syntax: str
    series_key: tuple[str, ...]
    study_uid: str
    sop_uid: str
    series_uid: str
    space_uid: str
    modality: str | None
    image_type: tuple[str, ...]
    num_frames: int
    rows: int
    columns: int
    samples: int
    photometric: str
    pixel_spacing_mm: tuple[float, ...] | None
    orientation: tuple[float, ...] | None
    position_mm: tuple[float, ...] | None
    position_rounding_mm: float
    spacing_between_mm: float | None
    contrast: tuple[object, ...]
    moments: Mapping[str, Any]
    attributes: Mapping[str, str]
    study_date: str = ""
    rescale: tuple[float, float] | None = None
    image: int | None = None
    native: Native | None = None
    content: Content | None = None
    tiles_across: int = 0
    flaw: tuple[Code, str] | None = None


def read_headers(
    path: Path, only: Container[int | None] | None = None, beginning: Beginning | None = None
) -> list[Header]:
    """Read a file's header: one of each image that stands in it.

    Args:
        path: The file.
        only: The numbers of the images that are asked for; all, if it is none.
        beginning: Of the file, if it was read already.

    Raises:
        RefusedError: If it is no DICOM file, or a damaged one.
    """
    with refusing_damage():
        headers = _read(path, only, beginning or read_beginning(path))
        return [h for h in headers if only is None or h.flaw or h.image in only]


def _read(path: Path, only: Container[int | None] | None, beginning: Beginning) -> list[Header]:
    content, size_bytes = beginning
    plain = plain_header(content, TAGS)
    if plain is not None and _is_one_image(plain[0]):
        found, end = plain
        behind = Behind(end, bytes(content[end : end + 12]), size_bytes)
        return _images(path, found, found, behind, only)
    with quietly():
        dataset, behind = _dataset(path, list(TAGS))
        meta = {e.keyword: e.value for e in getattr(dataset, "file_meta", None) or ()}
        return _images(path, dataset, meta, behind, only)


def read_dataset(path: Path) -> pydicom.Dataset:
    """Read all elements before the pixels; a preamble may be missing."""
    return _dataset(path, None)[0]


def _dataset(path: Path, tags: list[str] | None) -> tuple[pydicom.Dataset, Behind]:
    """Return what stands before the pixels, and what follows it."""
    with open_bounded(path) as file:
        try:
            found = read_head(file, tags)
        except InvalidDicomError:
            file.seek(0)
            # Without preamble the data set begins at once, with group 0002 or 0008.
            if file.read(2) not in (b"\x02\x00", b"\x08\x00"):
                raise
            file.seek(0)
            found = read_head(file, tags, force=True)
            if not str(found.get("SOPClassUID", "")).startswith("1.2.840.10008."):
                raise
        return found, Behind(file.tell(), file.read(12), os.fstat(file.fileno()).st_size)


@lru_cache(maxsize=256)
def _uid(value: str) -> UID:
    return UID(value, validation_mode=pydicom.config.IGNORE)  # which would warn with the value


def _is_one_image(found: Mapping[str, Any]) -> bool:
    return _uid(str(found.get("SOPClassUID", ""))).keyword not in ENHANCED and not is_mosaic(
        text(found.get("ImageType"))
    )


def _images(
    path: Path,
    found: Said,
    meta: Mapping[str, Any],
    behind: Behind,
    only: Container[int | None] | None,
) -> list[Header]:
    """Return the header of each image; of the file as a whole, if they cannot be told apart."""
    sop_class = text(found.get("SOPClassUID")) or str(meta.get("MediaStorageSOPClassUID", ""))
    syntax = _uid(str(meta.get("TransferSyntaxUID", "")))
    common = {
        "path": path,
        "sop_class": _uid(sop_class).keyword or sop_class,
        "syntax": syntax.name,
    }
    try:
        if common["sop_class"] in ENHANCED and isinstance(found, pydicom.Dataset):
            return list(_frames(found, common, find_frames(found, syntax, behind), only))
        if is_mosaic(text(found.get("ImageType"))) and isinstance(found, pydicom.Dataset):
            return list(_tiles(found, common))
        return [Header(**_parsed(found, common), native=find_native(found, syntax, behind))]
    except RefusedError as refusal:
        return [Header(**_parsed(found, common), flaw=(refusal.code, refusal.sentence))]


def _frames(
    found: pydicom.Dataset,
    common: Mapping[str, Any],
    first: Native | None,
    only: Container[int | None] | None,
) -> Iterator[Header]:
    for image, frame in frames_of(found, only):
        slope, intercept = (number(frame.get(f"Rescale{n}")) for n in ("Slope", "Intercept"))
        rescale = (1.0 if slope is None else slope, intercept or 0.0)
        said = _parsed(frame, common)
        native = first and first.frame(image, said["rows"] * said["columns"], *rescale)
        yield Header(**said, image=image, rescale=rescale, native=native)


def _tiles(found: pydicom.Dataset, common: Mapping[str, Any]) -> Iterator[Header]:
    tiles, across = tiles_of(found, read_dataset(common["path"]))
    for image, tile in enumerate(tiles, start=1):
        yield Header(**_parsed(tile, common), image=image, tiles_across=across)


def _parsed(found: Said, common: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a header that are said of the image."""
    position = found.get("ImagePositionPatient")
    # Without a series UID, slices of one series share a folder and a number.
    series_uid = text(found.get("SeriesInstanceUID"))
    series = series_uid or f"number {text(found.get('SeriesNumber'))}"
    place = () if series_uid else (str(common["path"].parent),)
    patient = "|".join(
        filter(None, (text(found.get(n)) for n in ("IssuerOfPatientID", "PatientID")))
    )
    return {
        **common,
        "series_key": (patient, series, *place),
        "study_uid": text(found.get("StudyInstanceUID")),
        "sop_uid": text(found.get("SOPInstanceUID")),
        "series_uid": series_uid,
        "space_uid": text(found.get("FrameOfReferenceUID")),
        "modality": text(found.get("Modality")) or None,
        "image_type": tuple(text(found.get("ImageType")).split("\\")),
        "num_frames": int(found.get("NumberOfFrames") or 1),
        "rows": int(found.get("Rows") or 0),
        "columns": int(found.get("Columns") or 0),
        "samples": int(found.get("SamplesPerPixel") or 1),
        "photometric": text(found.get("PhotometricInterpretation")),
        "pixel_spacing_mm": numbers(found.get("PixelSpacing"), 2),
        "orientation": numbers(found.get("ImageOrientationPatient"), 6),
        "position_mm": numbers(position, 3),
        "position_rounding_mm": rounding(position or []),
        "spacing_between_mm": number(found.get("SpacingBetweenSlices")),
        "contrast": contrast(found),
        "moments": moments(found),
        "attributes": attributes(found) | content(found) | annotation.burned_in(found),
        "study_date": str(study_date(found) or ""),
    }
