"""Which DICOM objects are slices of a volume, and what the others are.

Source: DICOM PS3.4 2024, B.5 (standard SOP classes); PS3.3, C.7.6.1.1.2 (image type).
"""

from collections.abc import Sequence

from medssl.data.dicom.elements import MOST_MM
from medssl.data.dicom.frames import ENHANCED
from medssl.data.dicom.header import Header
from medssl.data.verdicts import Code, RefusedError

# A part of the SOP class keyword decides; the first that fits.
BY_CLASS = (
    ("MediaStorageDirectory", Code.NOT_AN_IMAGE, "a DICOM directory, no image"),
    ("RTStructureSet", Code.STRUCTURES, "an RT structure set"),
    ("Segmentation", Code.SEGMENTATION, "a DICOM segmentation"),
    ("LabelMap", Code.SEGMENTATION, "a DICOM segmentation"),
    ("PresentationState", Code.PRESENTATION, "a presentation state"),
    ("RTDose", Code.DOSE_OR_PLAN, "an RT dose"),
    ("Plan", Code.DOSE_OR_PLAN, "an RT plan"),
    ("SRStorage", Code.REPORT, "a structured report"),
    ("TextSR", Code.REPORT, "a structured report"),
    ("KeyObject", Code.REPORT, "a key object selection"),
    ("SecondaryCapture", Code.SECONDARY_CAPTURE, "a secondary capture"),
    ("Encapsulated", Code.REPORT, "an encapsulated document"),
    ("WholeSlide", Code.SLIDE, "a whole-slide image; a source of volumes takes none"),
    ("Enhanced", Code.MULTI_FRAME, "a multi-frame image that is no CT, MR or PET"),
)
BY_MODALITY = {
    "SEG": (Code.SEGMENTATION, "a DICOM segmentation"),
    "SR": (Code.REPORT, "a structured report"),
    "KO": (Code.REPORT, "a key object selection"),
    "DOC": (Code.REPORT, "an encapsulated document"),
    "PR": (Code.PRESENTATION, "a presentation state"),
    "RTSTRUCT": (Code.STRUCTURES, "an RT structure set"),
    "RTDOSE": (Code.DOSE_OR_PLAN, "an RT dose"),
    "RTPLAN": (Code.DOSE_OR_PLAN, "an RT plan"),
    "SM": (Code.SLIDE, "a whole-slide image; a source of volumes takes none"),
    "ANN": (Code.REPORT, "annotations, no image"),
    **dict.fromkeys(
        ["CR", "DX", "MG", "XA", "RF", "IO", "PX", "RG", "RTIMAGE"],
        (Code.PROJECTION, "a projection image"),
    ),
    **dict.fromkeys(["US", "ES", "XC", "OP", "GM"], (Code.UNSUPPORTED, "no tomographic image")),
}
# Every object of these is a slice: without rows or pixels the file has lost its end.
SLICES = {"CTImageStorage", "MRImageStorage", "PositronEmissionTomographyImageStorage"}
COLORS = {
    "RGB", "PALETTE COLOR", "YBR_FULL", "YBR_FULL_422", "YBR_PARTIAL_420", "YBR_ICT", "YBR_RCT",
    "HSV", "ARGB", "CMYK", "XYB",
}  # fmt: skip
SCOUTS = {"LOCALIZER", "SCOUT", "TOPOGRAM"}


def require_slices(headers: Sequence[Header]) -> None:
    """Refuse a file if one of its images is no slice of a volume.

    Raises:
        RefusedError: With the kind of object that it is instead.
    """
    for header in headers:
        try:
            _require_slice(header)
        except RefusedError as refusal:
            if len(headers) == 1:
                raise
            sentence = f"image {header.image} of the {len(headers)} in it: {refusal.sentence}"
            raise RefusedError(refusal.code, sentence) from refusal


def _require_slice(header: Header) -> None:
    for part, code, sentence in BY_CLASS:
        if part in header.sop_class and header.sop_class not in ENHANCED:
            raise RefusedError(code, sentence)
    if header.modality in BY_MODALITY:
        raise RefusedError(*BY_MODALITY[header.modality])
    _require_pixels(header)
    if header.flaw is not None:
        raise RefusedError(*header.flaw)
    _require_one_image(header)
    if None in (header.pixel_spacing_mm, header.orientation, header.position_mm):
        lacking = [
            name
            for name, value in (
                ("PixelSpacing", header.pixel_spacing_mm),
                ("ImageOrientationPatient", header.orientation),
                ("ImagePositionPatient", header.position_mm),
            )
            if value is None
        ]
        raise RefusedError(
            Code.NO_GEOMETRY, f"it does not say where it is: no {', '.join(lacking)}"
        )
    _require_sane(header)


def _require_sane(header: Header) -> None:
    """Refuse numbers that no scanner means, before anything is reckoned with them."""
    position, axes = header.position_mm or (), header.orientation or ()
    if not all(abs(value) <= MOST_MM for value in position):
        raise RefusedError(Code.NO_GEOMETRY, f"its position is {_listed(position)} mm")
    if not all(abs(value) <= 2 for value in axes):
        sentence = f"its axes are no unit vectors at right angles: {_listed(axes)}"
        raise RefusedError(Code.BAD_ORIENTATION, sentence)


def _listed(values: Sequence[float]) -> str:
    return ", ".join(f"{value:.4g}" for value in values)


def _require_pixels(header: Header) -> None:
    if header.rows and header.columns:
        return
    if header.sop_class in SLICES:
        raise RefusedError(
            Code.TRUNCATED, "the DICOM header ends before it says how large the image is"
        )
    raise RefusedError(Code.NOT_AN_IMAGE, "a DICOM object without an image")


def _require_one_image(header: Header) -> None:
    kind = {part.upper() for part in header.image_type}
    if kind & SCOUTS:
        raise RefusedError(Code.LOCALIZER, "a localizer")
    if header.num_frames > 1 and header.image is None:
        sentence = f"{header.num_frames} frames of an object that describes them as one image"
        raise RefusedError(Code.MULTI_FRAME, sentence)
    if header.samples != 1 or header.photometric not in ("MONOCHROME2", "MONOCHROME1"):
        # What the file says is repeated only where it is a word of the standard.
        said = header.photometric if header.photometric in COLORS else "colored"
        raise RefusedError(Code.COLOR, f"its pixels are {said}, not gray")
