"""What a header says, or lets suspect, of text in the pixels themselves.

Source: DICOM PS3.3 2024, C.7.6.1 (BurnedInAnnotation), C.7.6.1.1.2 (image type), C.8.6.1
(conversion type and devices of secondary captures).
"""

from medssl.data.dicom.elements import Said, text

DECLARED, SUSPECTED = "declared", "suspected"
DEVICES = ["SecondaryCaptureDeviceManufacturer", "SecondaryCaptureDeviceManufacturerModelName"]
TAGS = ["BurnedInAnnotation", "ConversionType", *DEVICES]
# Images of a screen, whatever kind of object they are stored as.
CAPTURES = ("SCREEN", "CAPTURE", "SNAPSHOT", "DOSE", "REPORT", "SUMMARY", "THUMBNAIL")
# Digitized video, interface or film, scanned document, drawing: not what a scanner made.
CONVERTED = {"DV", "DI", "DF", "SD", "SI", "DRW"}
DIGITIZERS = ("VIDAR", "HOWTEK", "LUMISYS")  # of films


def burned_in(found: Said) -> dict[str, str]:
    """Return the entry `burned_in` of a case's attributes: `declared`, or `suspected` and why."""
    if text(found.get("BurnedInAnnotation")).upper() == "YES":
        return {"burned_in": DECLARED}
    reason = _suspicion(found)
    return {"burned_in": f"{SUSPECTED}: {reason}"} if reason else {}


def _suspicion(found: Said) -> str:
    image_type, maker = (text(found.get(name)).upper() for name in ("ImageType", "Manufacturer"))
    if kinds := [kind for kind in CAPTURES if kind in image_type]:
        return f"its image type says {kinds[0]}"
    if (conversion := text(found.get("ConversionType")).upper()) in CONVERTED:
        return f"its conversion type is {conversion}"
    if any(text(found.get(name)) for name in DEVICES):
        return "it names a device that captures screens"
    if any(name in maker for name in DIGITIZERS):
        return "its maker digitizes films"
    return ""
