"""An archive of as many files as are asked for, within seconds: CT series of small slices.

Each file is DICOM with instance, place and pixels of its own. One is encoded; the others are
its bytes with other values of the same length in their places, which is a hundred times faster.

Source: DICOM PS3.5 2024, 6.2: decimal strings may begin with zeros, integer strings may end with
spaces.
"""

import io
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from pydicom import dcmwrite, uid
from pydicom.dataset import Dataset, FileMetaDataset

SIDE = 16  # pixels
LAST_SERIES, LAST_SLICE = 999_999_999, 999_999


class Series(NamedTuple):
    """What the files of a series share."""

    patient: str
    study: str
    series: str

    @classmethod
    def of(cls, number: int) -> "Series":
        """Return the names of a series, which are as long for every number."""
        return cls(f"BULK{number:09d}", f"2.25.1{number:09d}", f"2.25.2{number:09d}")


class Slice(NamedTuple):
    """What a file has of its own, besides its pixels."""

    instance: str
    number: str
    position_mm: str

    @classmethod
    def of(cls, series: int, number: int) -> "Slice":
        """Return the values of a slice, which are as long for every number."""
        instance = f"2.25.3{series:09d}{number:06d}"
        return cls(instance, f"{number + 1:<8d}", f"{number + 0.5:08.1f}")


def write_bulk(folder: Path, num_files: int, *, slices: int = 100, seed: int = 0) -> None:
    """Write a folder a series and a file a slice; the last series may be a shorter one.

    Args:
        folder: Where the series' folders go.
        num_files: Of all series together.
        slices: Of a series.
        seed: Of the pixels.
    """
    # A pattern in which each value is there for the longest number, to be found and replaced.
    encoded = _encoded(Series.of(LAST_SERIES), Slice.of(LAST_SERIES, LAST_SLICE))
    pattern = encoded[: -2 * SIDE**2]
    for series, first in enumerate(range(0, num_files, slices)):
        part = folder / f"{series:06d}"
        part.mkdir(parents=True)
        count = min(slices, num_files - first)
        pixels = np.random.default_rng([seed, series]).integers(0, 4096, (count, SIDE**2), "<u2")
        header = _replaced(pattern, Series.of(LAST_SERIES), Series.of(series))
        for number, values in enumerate(pixels):
            told = _replaced(header, Slice.of(LAST_SERIES, LAST_SLICE), Slice.of(series, number))
            (part / f"{number:06d}.dcm").write_bytes(told + values.tobytes())


def _replaced(content: bytes, old: tuple[str, ...], new: tuple[str, ...]) -> bytes:
    for before, after in zip(old, new, strict=True):
        content = content.replace(before.encode(), after.encode())
    return content


def _encoded(series: Series, one: Slice) -> bytes:
    """Return a slice as a file whose last bytes are its pixels."""
    found = Dataset()
    found.file_meta = FileMetaDataset()
    found.file_meta.TransferSyntaxUID = uid.ExplicitVRLittleEndian
    found.SOPClassUID, found.SOPInstanceUID = uid.CTImageStorage, one.instance
    found.StudyInstanceUID, found.SeriesInstanceUID = series.study, series.series
    for keyword, value in _common():
        setattr(found, keyword, value)
    found.PatientID = found.PatientName = series.patient
    found.InstanceNumber = one.number
    found.ImagePositionPatient = ["-8", "-8", one.position_mm]
    found.SliceLocation = one.position_mm
    found.PixelData = bytes(2 * SIDE**2)
    stream = io.BytesIO()
    dcmwrite(stream, found, enforce_file_format=True)
    return stream.getvalue()


def _common() -> Iterator[tuple[str, object]]:
    """Yield what is the same in all files, about as much as a scanner writes."""
    yield from {
        "SpecificCharacterSet": "ISO_IR 100",
        "ImageType": ["ORIGINAL", "PRIMARY", "AXIAL"],
        "StudyDate": "20200102",
        "SeriesDate": "20200102",
        "AcquisitionDate": "20200102",
        "StudyTime": "101500",
        "AcquisitionTime": "101530",
        "Modality": "CT",
        "Manufacturer": "Bulk",
        "ManufacturerModelName": "Bulk 16",
        "StudyDescription": "chest",
        "SeriesDescription": "chest 1 mm",
        "PatientSex": "O",
        "PatientAge": "050Y",
        "BodyPartExamined": "CHEST",
        "KVP": "120",
        "SliceThickness": "1",
        "SpacingBetweenSlices": "1",
        "ConvolutionKernel": "B30f",
        "PatientPosition": "HFS",
        "SeriesNumber": "1",
        "AcquisitionNumber": "1",
        "ImageOrientationPatient": ["1", "0", "0", "0", "1", "0"],
        "FrameOfReferenceUID": "2.25.4",
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "Rows": SIDE,
        "Columns": SIDE,
        "PixelSpacing": ["1", "1"],
        "BitsAllocated": 16,
        "BitsStored": 12,
        "HighBit": 11,
        "PixelRepresentation": 0,
        "RescaleIntercept": "-1024",
        "RescaleSlope": "1",
        "RescaleType": "HU",
    }.items()
