"""What a header says of the numbers of an image: what they mean, and which of them mean nothing.

Values stay as they are stored and rescaled: large ones of MONOCHROME1 are dark, and padding is
padding. A case says so where it applies.

Source: DICOM PS3.3 2024, C.7.6.3.1.2 (photometric interpretation), C.7.5.1.1.2 (pixel padding),
C.8.9.1 (units of PET), C.11.1 (rescale).
"""

from collections.abc import Mapping, Sequence
from typing import Any

from medssl.data.dicom.elements import Said, number, text

TAGS = [
    "PixelPaddingValue", "PixelPaddingRangeLimit", "PixelRepresentation", "BitsAllocated",
    "RescaleSlope", "RescaleIntercept", "Units",
]  # fmt: skip
PADDING = {
    "PixelPaddingValue": "padding_value",
    "PixelPaddingRangeLimit": "padding_range_limit",
}


def content(found: Said) -> dict[str, str]:
    """Return what is said of an image's values; padding is in their unit."""
    slope, intercept = number(found.get("RescaleSlope")), number(found.get("RescaleIntercept"))
    slope, intercept = 1.0 if slope is None else slope, intercept or 0.0
    said = {
        "units": text(found.get("Units")),
        "rescale": f"{slope:.9g} {intercept:.9g}",
        "photometric": "MONOCHROME1" if _is_inverse(found) else "",
    }
    for keyword, name in PADDING.items():
        stored = _stored(found, found.get(keyword))
        said[name] = "" if stored is None else f"{stored * slope + intercept:.9g}"
    return {name: value for name, value in said.items() if value}


def content_of(slices: Sequence[Mapping[str, str]]) -> dict[str, str]:
    """Return what all slices of a volume say of their values, and whether they are rescaled alike.

    Args:
        slices: What each of them says.
    """
    names = ("units", "photometric", *PADDING.values())
    alike = {name: slices[0][name] for name in names if name in slices[0]}
    alike = {k: v for k, v in alike.items() if all(said.get(k) == v for said in slices)}
    scales = {said.get("rescale") for said in slices}
    return alike | ({"rescale": "of each slice its own"} if len(scales) > 1 else {})


def _is_inverse(found: Said) -> bool:
    return text(found.get("PhotometricInterpretation")) == "MONOCHROME1"


def _stored(found: Said, value: Any) -> int | None:
    """Return a stored number with the sign of the pixels; headers often have it without."""
    if isinstance(value, bytes):  # of which the header does not say whether it has a sign
        value = int.from_bytes(value, "little")
    bits = found.get("BitsAllocated")
    if not isinstance(value, int) or bits not in (8, 16, 32):
        return None
    is_signed = found.get("PixelRepresentation") == 1
    unsigned = value % (1 << bits)
    return unsigned - (1 << bits) if is_signed and unsigned >> (bits - 1) else unsigned
