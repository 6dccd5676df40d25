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
    "BitsStored", "RescaleSlope", "RescaleIntercept", "Units",
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
    """Return a stored number as pixels are read: by their lower bits, with their sign.

    Headers often have it without the sign, or in fewer bits than are allocated. One that the
    stored bits cannot hold is the value of no pixel, and is none.
    """
    if isinstance(value, bytes):  # of which the header does not say whether it has a sign
        value = int.from_bytes(value, "little")
    bits, used = found.get("BitsAllocated"), found.get("BitsStored")
    if not isinstance(value, int) or bits not in (8, 16, 32):
        return None
    used = used if isinstance(used, int) and 0 < used <= bits else bits
    is_negative = found.get("PixelRepresentation") == 1 and bool(value >> (used - 1) & 1)
    stored = value % (1 << used) - (is_negative << used)
    written = {stored % (1 << used), stored % (1 << bits)}  # without and with all bits
    return stored if value % (1 << bits) in written else None
