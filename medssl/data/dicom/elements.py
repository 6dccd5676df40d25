"""The values of a header's elements, as Python's: empty, padded or missing ones are none.

What is read from may be a data set, or a mapping from keywords to values that describes one
image of several in a file.

Source: DICOM PS3.5 2024, 6.2 (padding of values); PS3.3, C.7.6.1 (image type, times), C.8.2.1 and
C.8.3.1 (kernel, voltage, echoes, inversion), C.8.13.5.9 (diffusion).
"""

from collections.abc import Mapping, Sequence
from datetime import date
from decimal import Decimal
from typing import Any

import pydicom

from medssl.data.dicom.dates import date_of

# Steps and positions that bodies and scanners have room for; others are damage.
LEAST_MM, MOST_MM = 1e-6, 1e6

Said = Mapping[str, Any] | pydicom.Dataset


def contrast(found: Said) -> tuple[object, ...]:
    """Return what must agree within a volume."""
    # GE marks single slices of a scan as ADD; it says nothing of their contrast.
    kind = tuple(part for part in text(found.get("ImageType")).split("\\") if part != "ADD")
    echo_ms = number(found.get("EchoTime"))
    return (
        kind,
        text(found.get("EchoNumbers")),
        None if echo_ms is None else round(echo_ms, 1),
        text(found.get("InversionTime")),
        text(found.get("ConvolutionKernel")),
        text(found.get("KVP")),
        text(found.get("ComplexImageComponent")),
        text(found.get("StackID")),
    )


def moments(found: Said) -> dict[str, Any]:
    """Return what may tell repetitions of a volume apart."""
    gradient = numbers(found.get("DiffusionGradientOrientation"), 3)
    b_value = number(found.get("DiffusionBValue"))
    moment = {
        "TemporalPositionIdentifier": number(found.get("TemporalPositionIdentifier")),
        "DiffusionBValue": None if b_value is None else (b_value, *(gradient or ())),
        "AcquisitionNumber": number(found.get("AcquisitionNumber")),
        "FrameAcquisitionNumber": number(found.get("FrameAcquisitionNumber")),
        "TriggerTime": number(found.get("TriggerTime")),
        "DimensionIndexValues": found.get("DimensionIndexValues"),
        "AcquisitionDateTime": text(found.get("AcquisitionDateTime")),
        "AcquisitionTime": text(found.get("AcquisitionDate")) + text(found.get("AcquisitionTime")),
        "ContentTime": text(found.get("ContentTime")),
        "InstanceNumber": number(found.get("InstanceNumber")),
    }
    return {name: value for name, value in moment.items() if value not in (None, "", ())}


def attributes(found: Said) -> dict[str, str]:
    """Return the whitelisted values; descriptions and comments are free text and stay behind."""
    makers = (text(found.get(name)) for name in ("Manufacturer", "ManufacturerModelName"))
    sequences = (
        text(found.get(name)).replace("\\", " ")
        for name in ("SequenceName", "ScanningSequence", "ConvolutionKernel")
    )
    texts = {
        "body_part": text(found.get("BodyPartExamined")),
        "sex": text(found.get("PatientSex")),
        "age": text(found.get("PatientAge")),
        "scanner": " ".join(filter(None, makers)),
        "sequence": next(filter(None, sequences), ""),
    }
    return {name: value for name, value in texts.items() if value}


def study_date(found: Said) -> date | None:
    """Return the day of the study, by its own date or else by those of its parts."""
    days = (date_of(text(found.get(f"{part}Date"))) for part in ("Study", "Series", "Acquisition"))
    return next((day for day in days if day is not None), None)


def text(value: object) -> str:
    """Return a value as text, several joined by backslashes.

    None is empty, and so is what is neither text nor number: the file says it is of a kind that
    the element is not of, and it may hold anything.
    """
    if isinstance(value, str):
        return value.strip().strip("\0")
    if isinstance(value, Sequence) and not isinstance(value, bytes):
        return "\\".join(text(part) for part in value)
    return str(value).strip() if isinstance(value, int | float | Decimal) else ""


def number(value: Any) -> float | None:
    """Return a value as a number, if there is one."""
    return None if value is None or value == "" else float(value)


def numbers(value: Any, count: int) -> tuple[float, ...] | None:
    """Return so many numbers, or none if there are not as many."""
    if not isinstance(value, Sequence) or isinstance(value, str | bytes) or len(value) != count:
        return None
    return tuple(float(part) for part in value)


def rounding(position: Sequence[Any]) -> float:
    """Return half a unit of the last written digit, at most 0.05 mm.

    A spacing of 0.625 mm written with one digit gives gaps of 0.6 and 0.7 mm: not uneven, rounded.
    """
    written = [Decimal(str(getattr(part, "original_string", part)).strip()) for part in position]
    digits = max((-int(number.as_tuple().exponent) for number in written), default=9)
    return 0.5 * 10.0 ** -max(digits, 1)
