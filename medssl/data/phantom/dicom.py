"""DICOM: a series as files, one a slice, as a scanner and a picture archive would leave them."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import UInt16
from pydicom import dcmwrite, uid
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.valuerep import format_number_as_ds

from medssl.data.phantom.appearance import Contrast
from medssl.data.phantom.grid import Grid
from medssl.data.phantom.identity import Person
from medssl.data.phantom.render import Rendered

SYNTAXES = (
    uid.ExplicitVRLittleEndian,
    uid.ImplicitVRLittleEndian,
    uid.RLELossless,
    uid.ExplicitVRLittleEndian,
    uid.ImplicitVRLittleEndian,
    uid.JPEGLSLossless,
)
PRIVATE_GROUP = 0x0011
SPOKEN = {"t1": ("GR", "SP", "MPRAGE"), "t2": ("SE", "SK", "TSE"), "flair": ("IR", "SK", "FLAIR")}


@dataclass(frozen=True)
class Header:
    """What a series' files have in common besides its image.

    Args:
        person: Who was imaged.
        study_uid: The visit that the files claim to be of.
        series_uid: The series.
        frame_uid: What their positions refer to.
        number: The series' number.
        syntax: How the files are encoded.
    """

    person: Person
    study_uid: str
    series_uid: str
    frame_uid: str
    number: int
    syntax: uid.UID


def unique_id(*key: int | str) -> str:
    """Return a valid UID (ISO 9834-8: below 2.25) that is the same for the same key."""
    digest = hashlib.blake2b(repr(key).encode(), digest_size=16).digest()
    return f"2.25.{int.from_bytes(digest)}"


def write_series(
    folder: Path, image: Rendered, header: Header, rng: np.random.Generator
) -> list[Path]:
    """Write one file a slice and return them in the order of the slices along the normal.

    File and instance numbers follow the normal, or run against it, or are shuffled, and half
    of the series name the patient in their files' names.
    """
    folder.mkdir(parents=True, exist_ok=True)
    slices = image.grid.shape[2]
    orders = [np.arange(slices), np.arange(slices)[::-1], rng.permutation(slices)]
    instances = 1 + orders[rng.integers(len(orders))]
    is_named = rng.random() < 0.5
    stem = f"{header.person.surname}_{header.person.given}_" if is_named else "IM"
    ending = ".dcm" if is_named else ""
    paths = [folder / f"{stem}{instance:04d}{ending}" for instance in instances]
    for k, (path, instance) in enumerate(zip(paths, instances, strict=True)):
        dataset = mr_slice(image, header, k, instance=int(instance))
        dcmwrite(path, dataset, enforce_file_format=True)
    return paths


def mr_slice(image: Rendered, header: Header, k: int, *, instance: int) -> Dataset:
    """Return one slice of the image as an MR image object."""
    dataset = common(header, uid.MRImageStorage, unique_id(header.series_uid, k))
    dataset.InstanceNumber = instance
    _describe_scan(dataset, image.contrast, header)
    _place(dataset, image.grid, k, header.frame_uid)
    if image.scan.slope != 1:
        dataset.RescaleIntercept, dataset.RescaleSlope = "0", format_number_as_ds(image.scan.slope)
        dataset.RescaleType = "US"
    _store(dataset, image.scan.stored[:, :, k].T, header.syntax)
    return dataset


def common(header: Header, sop_class: str, instance_uid: str) -> Dataset:
    """Return what every object of a patient carries, the words that must not get out included."""
    person = header.person
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = header.syntax
    dataset.SpecificCharacterSet = "ISO_IR 100"
    dataset.SOPClassUID, dataset.SOPInstanceUID = sop_class, instance_uid
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = header.study_uid, header.series_uid
    dataset.StudyDate = dataset.SeriesDate = dataset.AcquisitionDate = person.study_date
    dataset.StudyTime = "101500"
    dataset.StudyID, dataset.SeriesNumber = "1", header.number
    dataset.AccessionNumber = person.other_id
    dataset.ReferringPhysicianName = person.physician
    dataset.OperatorsName = person.operator
    dataset.StudyDescription = f"MR head {person.surname}"
    dataset.PatientName, dataset.PatientID = person.name, person.patient_id
    dataset.OtherPatientIDs = person.other_id
    dataset.PatientBirthDate, dataset.PatientSex = person.birth_date, person.sex
    dataset.PatientAge = f"{person.age_years:03d}Y"
    dataset.PatientAddress = person.address
    dataset.PatientComments = f"{person.note}, seen by {person.physician}"
    request = Dataset()
    request.RequestedProcedureID = "1"
    request.RequestedProcedureDescription = f"head of {person.name}"
    dataset.RequestAttributesSequence = [request]
    block = dataset.private_block(PRIVATE_GROUP, "MEDSSL PHANTOM", create=True)
    block.add_new(0x01, "LO", person.note)
    return dataset


def _describe_scan(dataset: Dataset, contrast: Contrast, header: Header) -> None:
    manufacturer, model, tesla = header.person.scanner
    sequence, variant, name = SPOKEN[contrast.name]
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "M", "NORM"]
    dataset.Modality = "MR"
    dataset.Manufacturer, dataset.ManufacturerModelName = manufacturer, model
    dataset.MagneticFieldStrength = format_number_as_ds(tesla)
    dataset.SeriesDescription = f"{contrast.name} head"
    dataset.ProtocolName = f"{name} {header.person.surname}"
    dataset.BodyPartExamined = "HEAD"
    dataset.ScanningSequence, dataset.SequenceVariant, dataset.ScanOptions = sequence, variant, ""
    dataset.MRAcquisitionType = "3D" if contrast.name == "t1" else "2D"
    dataset.RepetitionTime, dataset.EchoTime = contrast.repetition_ms, contrast.echo_ms
    dataset.EchoTrainLength, dataset.FlipAngle = 1, 9


def _place(dataset: Dataset, grid: Grid, k: int, frame_uid: str) -> None:
    column_mm, row_mm, slice_mm = map(float, grid.spacing_mm)
    dataset.PatientPosition = "HFS"
    dataset.FrameOfReferenceUID, dataset.PositionReferenceIndicator = frame_uid, ""
    dataset.ImageOrientationPatient = [_decimal(value) for value in grid.orientation]
    dataset.ImagePositionPatient = [_decimal(value) for value in grid.position(k)]
    dataset.PixelSpacing = [_decimal(row_mm), _decimal(column_mm)]
    dataset.SliceThickness = dataset.SpacingBetweenSlices = _decimal(slice_mm)


def _decimal(value: float) -> str:
    """Return a decimal string of at most 16 characters; minus zero is zero."""
    return format_number_as_ds(float(value) + 0.0)


def _store(dataset: Dataset, pixels: UInt16[np.ndarray, "row column"], syntax: uid.UID) -> None:
    # Pixels are set under an uncompressed syntax: what is there, or explicit for a compressed one.
    dataset.set_pixel_data(pixels, "MONOCHROME2", 12, generate_instance_uid=False)
    if syntax.is_compressed:
        dataset.compress(syntax, generate_instance_uid=False)
