"""From a unit and what was measured of it to its case; what cannot be read is refused."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from medssl.data.archive.ledger import Ledger, Use
from medssl.data.archive.measure import Measured
from medssl.data.archive.pseudonyms import Pseudonyms
from medssl.data.archive.units import Unit, refuse_all
from medssl.data.archive.words import shown_words
from medssl.data.dicom.annotation import SUSPECTED
from medssl.data.dicom.content import content_of
from medssl.data.layouts import Held
from medssl.data.manifest import Case
from medssl.data.verdicts import RefusedError
from medssl.geometry import spacing_mm

OLDEST = 89  # years; above, an age identifies, and is given as 90
TEXT_REGIONS = "regions that look like text"
PER_YEAR = {"Y": 1.0, "M": 12.0, "W": 365.25 / 7, "D": 365.25}


@dataclass(frozen=True, kw_only=True)
class Known:
    """What the user knows of a unit, over what its headers say.

    Args:
        subject: The patient's name or number.
        modality: DICOM's code.
        site: Where it was made.
        group: A population.
        attributes: Further named values.
    """

    subject: str | None = None
    modality: str | None = None
    site: str | None = None
    group: str | None = None
    attributes: tuple[tuple[str, str], ...] = ()


def refuse(unit: Unit, refusal: RefusedError, ledger: Ledger) -> None:
    """Refuse the files of a unit of which one cannot be read."""
    culprit = refusal.path or unit.files[0].path
    ledger.refuse(culprit, refusal)
    refuse_all((file.path for file in unit.files), culprit, ledger)


def take(unit: Unit, found: Measured, ledger: Ledger, known: Known) -> Case:
    """Accept the files of a unit and return its case.

    Its split is the one that its file names, or empty: which it is to be in depends on the others.
    """
    case = describe(unit, found, ledger, known)
    ledger.accept(uses(unit, case.case_id))
    return case


def uses(unit: Unit, case_id: str) -> Iterator[tuple[Path, Use]]:
    """Yield what the case takes of which file."""
    if unit.stack is None:
        for file in unit.files:
            yield file.path, Use(case_id)
        return
    for position, header in enumerate(unit.stack.headers):
        yield header.path, Use(case_id, position, header.image)


def describe(unit: Unit, found: Measured, ledger: Ledger, known: Known) -> Case:
    """Return the row of a unit, without a name in it."""
    hidden = ledger.pseudonyms
    case_id = hidden("case", unit.identity)
    patient = known.subject or unit.patient
    first = ledger.file_id(unit.files[0].path)
    held = unit.held or Held()
    return Case(
        case_id=case_id,
        digest=found.digest,
        subject_id=hidden("subject", patient),
        # A study or series belongs to its patient: UIDs alone are not always unique.
        study_id=unit.study and hidden("study", f"{patient}|{unit.study}"),
        series_id=unit.series and hidden("series", f"{patient}|{unit.series}"),
        modality=known.modality or shown_words(unit.modality, hidden),
        image_uri=_image_uri(unit, first, case_id),
        # Of a file that holds both, one name is enough.
        label_uri=_image_uri(unit, first, case_id) if held.has_label else None,
        shape=list(found.shape),
        spacing_mm=spacing_mm(np.array(found.affine).reshape(4, 4)).tolist(),
        affine=list(found.affine),
        frame=unit.frame,
        body_part=shown_words(unit.attributes.get("body_part"), hidden),
        sequence=shown_words(unit.attributes.get("sequence"), hidden),
        scanner=shown_words(unit.attributes.get("scanner"), hidden),
        site=known.site,
        age_years=age_years(unit.attributes.get("age", "")),
        sex=sex(unit.attributes.get("sex", "")),
        attributes=dict(known.attributes) | _kept(unit, found, hidden),
        group=known.group,
        labels=[{"class_name": name, "box_mm": None} for name in held.classes] or None,
        split=held.split,
        bytes=found.bytes,
    )


def _image_uri(unit: Unit, file_id: str, case_id: str) -> str:
    if unit.stack is not None:
        return f"series:{case_id}"
    return f"file:{file_id}" if unit.held is None else f"layout:{unit.source}/{file_id}"


def age_years(text: str) -> float | None:
    """Return a DICOM age such as `077Y` or `018M` in years, 90 above 89."""
    number, unit = text[:-1], text[-1:]
    if not number.isdigit() or unit not in PER_YEAR:
        return None
    years = int(number) / PER_YEAR[unit]
    return 90.0 if years > OLDEST else years


def sex(text: str) -> str | None:
    """Return `F`, `M` or `O`, or none for what DICOM does not know."""
    return text if text in ("F", "M", "O") else None


def _kept(unit: Unit, found: Measured, hidden: Pseudonyms) -> dict[str, str]:
    """Return what is worth knowing of some: values, burned-in text, what was resampled."""
    headers = unit.stack.headers if unit.stack else ()
    said = content_of([header.attributes for header in headers]) if headers else {}
    regrid = unit.stack and unit.stack.regrid
    written = f"{SUSPECTED}: {TEXT_REGIONS}" if found.has_text else None
    of_some = {
        "units": shown_words(said.get("units"), hidden),
        "burned_in": unit.attributes.get("burned_in") or written,
        "part": _part(unit),
        "resampled": regrid.sentence if regrid else None,
        "nonfinite": str(found.nonfinite) if found.nonfinite else None,
        "orientation": unit.attributes.get("orientation"),
    }
    return said | {name: value for name, value in of_some.items() if value}


def _part(unit: Unit) -> str | None:
    """Return which volume of its series it is one or a frame of, if it is not of the first."""
    part = unit.stack.part if unit.stack else 0
    return f"{unit.copy}.{part}" if unit.copy or part else None
