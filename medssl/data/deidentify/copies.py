"""De-identified copies of DICOM files, each of which appears whole or not at all.

Source: DICOM PS3.15 2024, E.1.1 (what a de-identified file must say); PS3.10, 7.1.
"""

from dataclasses import dataclass
from datetime import date
from io import BytesIO
from pathlib import Path

import pydicom
from pydicom.dataset import FileMetaDataset
from pydicom.uid import (
    CTImageStorage,
    MRImageStorage,
    PositronEmissionTomographyImageStorage,
    SecondaryCaptureImageStorage,
)

from medssl.data.archive.pseudonyms import Pseudonyms
from medssl.data.deidentify.clock import Clock
from medssl.data.deidentify.elements import Rules
from medssl.data.deidentify.pixels import pixels
from medssl.data.dicom.elements import text
from medssl.data.dicom.pixels import read_dataset
from medssl.data.dicom.quiet import DAMAGE, quietly
from medssl.data.verdicts import Code, RefusedError

METHOD = "medssl whitelist 1: keyed pseudonyms, days from first study"
PROFILE = (
    ("113100", "Basic Application Confidentiality Profile"),
    ("113107", "Retain Longitudinal Temporal Information Modified Dates Option"),
    ("113108", "Retain Patient Characteristics Option"),
)
CLASSES = {
    "CT": CTImageStorage,
    "MR": MRImageStorage,
    "PT": PositronEmissionTomographyImageStorage,
}
EMPTY = ("PatientBirthDate", "AccessionNumber", "ReferringPhysicianName", "StudyID")  # of type 2


@dataclass(frozen=True, kw_only=True)
class Origin:
    """Whose a file is, in pseudonyms, and when that patient was seen first.

    Args:
        subject_id: The patient.
        study_id: The study.
        series_id: The series.
        copy: Which of several series that carry one UID it is of.
        first_study: The day of the patient's first study, if it is known; it stays private.
    """

    subject_id: str
    study_id: str
    series_id: str
    copy: int = 0
    first_study: date | None = None

    @property
    def folder(self) -> Path:
        """Where copies lie, below the folder of all."""
        return Path(self.subject_id, self.study_id, self.series_id)


def write_copy(source: Path, target: Path, origin: Origin, hidden: Pseudonyms) -> bool:
    """Write a copy unless it is there; return whether it was written.

    Raises:
        RefusedError: If the file cannot be read any more.
    """
    try:
        stamp = _stamp(source, origin, hidden)
        if _is_there(target, stamp):
            return False
        with quietly():
            made = copy_of(read_dataset(source), origin, hidden, file_id=target.stem)
            made.DeidentificationMethod = [METHOD, stamp]
            made.save_as(written := BytesIO(), enforce_file_format=True)
    except DAMAGE as error:
        sentence = f"it cannot be copied ({type(error).__name__})"
        raise RefusedError(Code.UNREADABLE, sentence, source) from error
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.part")
    temporary.write_bytes(written.getbuffer())
    temporary.replace(target)
    return True


def copy_of(
    found: pydicom.Dataset, origin: Origin, hidden: Pseudonyms, *, file_id: str
) -> pydicom.Dataset:
    """Return what a copy of a file holds.

    Args:
        found: All of the file.
        origin: Whose it is.
        hidden: The keyed hashes.
        file_id: Of the file; names its instance where the file does not.
    """
    clock = Clock.of(found, origin.first_study, origin.study_id, hidden)
    rules = Rules(hidden, clock)
    made = rules.copy(found)
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = found.file_meta.TransferSyntaxUID
    class_uid = rules.uid(_uid_of(found, "SOPClassUID"))
    made.SOPClassUID = class_uid or CLASSES.get(made.get("Modality"), SecondaryCaptureImageStorage)
    made.file_meta.MediaStorageSOPClassUID = made.SOPClassUID
    made.SOPInstanceUID = hidden.uid(_uid_of(found, "SOPInstanceUID") or file_id)
    made.file_meta.MediaStorageSOPInstanceUID = made.SOPInstanceUID
    if origin.copy and "SeriesInstanceUID" in found:
        uid = f"{text(found.SeriesInstanceUID)}|{origin.copy}"
        made.SeriesInstanceUID = hidden.uid(uid)
    made.PatientID = made.PatientName = origin.subject_id
    for keyword in EMPTY:
        setattr(made, keyword, "")
    made.PatientIdentityRemoved = "YES"
    made.LongitudinalTemporalInformationModified = "MODIFIED" if origin.first_study else "REMOVED"
    made.DeidentificationMethodCodeSequence = [_code(*code) for code in PROFILE]
    if "PixelData" in found:
        made.add(pixels(found, made.file_meta.TransferSyntaxUID))
    return made


def _uid_of(found: pydicom.Dataset, keyword: str) -> str:
    """Return a UID that stands in the data set or, where it is empty, before it."""
    return text(found.get(keyword)) or text(found.file_meta.get(f"MediaStorage{keyword}"))


def _code(value: str, meaning: str) -> pydicom.Dataset:
    made = pydicom.Dataset()
    made.CodeValue, made.CodingSchemeDesignator, made.CodeMeaning = value, "DCM", meaning
    return made


def _stamp(source: Path, origin: Origin, hidden: Pseudonyms) -> str:
    """Return a keyed hash of what a copy depends on."""
    state = source.stat()
    return hidden("copy", f"{METHOD}|{origin}|{state.st_size}|{state.st_mtime_ns}")


def _is_there(target: Path, stamp: str) -> bool:
    if not target.is_file():
        return False
    with quietly():
        said = pydicom.dcmread(
            target, stop_before_pixels=True, specific_tags=["DeidentificationMethod"]
        )
        return text(said.get("DeidentificationMethod")).endswith(stamp)
