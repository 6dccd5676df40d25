"""What became of a file of the archive: accepted into which case, or refused and why.

Sentences hold numbers and DICOM's own words, never a path, a UID or a patient's name: they
leave the machine with the table.
"""

from enum import StrEnum
from pathlib import Path

from medssl.errors import DataError


class Code(StrEnum):
    """Why a file stands where it stands."""

    IMAGE = "image"
    LABEL = "label"
    NOT_AN_IMAGE = "not_an_image"
    UNREADABLE = "unreadable"
    UNLISTED_FOLDER = "unlisted_folder"
    TRUNCATED = "truncated"
    UNDECODABLE = "undecodable"
    UNSUPPORTED = "unsupported"
    COLOR = "color"
    LOCALIZER = "localizer"
    SECONDARY_CAPTURE = "secondary_capture"
    REPORT = "report"
    STRUCTURES = "structures"
    SEGMENTATION = "segmentation"
    PRESENTATION = "presentation"
    DOSE_OR_PLAN = "dose_or_plan"
    PROJECTION = "projection"
    SLIDE = "slide"
    MULTI_FRAME = "multi_frame"
    MOSAIC = "mosaic"
    NO_GEOMETRY = "no_geometry"
    BAD_ORIENTATION = "bad_orientation"
    SINGLE_SLICE = "single_slice"
    DUPLICATE_FILE = "duplicate_file"
    CONFLICT = "conflict"
    DUPLICATE_SLICE = "duplicate_slice"
    MISSING_SLICE = "missing_slice"
    UNEVEN_SPACING = "uneven_spacing"
    SHEARED = "sheared"
    BROKEN_SERIES = "broken_series"
    IMAGE_WITHOUT_LABEL = "image_without_label"
    LABEL_WITHOUT_IMAGE = "label_without_image"
    LABEL_GRID_DIFFERS = "label_grid_differs"
    LABEL_CONFLICT = "label_conflict"
    REFERENCE_MISSING = "reference_missing"
    REFERENCE_AMBIGUOUS = "reference_ambiguous"


class RefusedError(DataError):
    """A file, or the files of one volume, cannot be taken.

    Args:
        code: Why, as one word.
        sentence: Why, with the numbers; nothing that identifies.
        path: The one file at fault, where others suffer with it.
    """

    def __init__(self, code: Code, sentence: str, path: Path | None = None) -> None:
        super().__init__(f"{code}: {sentence}")
        self.code, self.sentence, self.path = code, sentence, path

    def __reduce__(self) -> tuple[type, tuple[Code, str, Path | None]]:
        # It comes back from other processes as it went.
        return type(self), (self.code, self.sentence, self.path)
