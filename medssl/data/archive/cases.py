"""From a unit to its case and its voxels; what cannot be read is refused."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from medssl.data.archive.burned_in import has_text
from medssl.data.archive.ledger import Ledger, Use
from medssl.data.archive.pseudonyms import Pseudonyms
from medssl.data.archive.units import Unit, refuse_all
from medssl.data.archive.words import shown_words
from medssl.data.dicom.annotation import SUSPECTED
from medssl.data.manifest import Case
from medssl.data.verdicts import RefusedError
from medssl.data.volume import Volume, digest
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


def read_case(unit: Unit, ledger: Ledger, known: Known | None = None) -> tuple[Case, Volume] | None:
    """Read a unit and describe it; its files are accepted, or refused and there is no case.

    The case's split is `train`: which one it is to be in depends on the others.
    """
    try:
        volume = unit.read()
    except RefusedError as refusal:
        culprit = refusal.path or unit.files[0].path
        ledger.refuse(culprit, refusal)
        refuse_all((file.path for file in unit.files), culprit, ledger)
        return None
    case = describe(unit, volume, ledger, known or Known())
    for use in uses(unit, case.case_id):
        ledger.accept(*use)
    return case, volume


def uses(unit: Unit, case_id: str) -> Iterator[tuple[Path, Use]]:
    """Yield what the case takes of which file."""
    if unit.stack is None:
        for file in unit.files:
            yield file.path, Use(case_id)
        return
    for position, header in enumerate(unit.stack.headers):
        yield header.path, Use(case_id, position, header.image)


def describe(unit: Unit, volume: Volume, ledger: Ledger, known: Known) -> Case:
    """Return the row of a unit, without a name in it."""
    hidden = ledger.pseudonyms
    case_id = hidden("case", unit.identity)
    patient = known.subject or unit.patient
    first = ledger.file_id(unit.files[0].path)
    return Case(
        case_id=case_id,
        digest=digest(volume),
        subject_id=hidden("subject", patient),
        # A study or series belongs to its patient: UIDs alone are not always unique.
        study_id=unit.study and hidden("study", f"{patient}|{unit.study}"),
        series_id=unit.series and hidden("series", f"{patient}|{unit.series}"),
        modality=known.modality or shown_words(unit.modality, hidden),
        image_uri=f"file:{first}" if unit.stack is None else f"series:{case_id}",
        shape=list(volume.voxels.shape[1:]),
        spacing_mm=spacing_mm(volume.affine).tolist(),
        affine=volume.affine.ravel().tolist(),
        frame=unit.frame,
        body_part=shown_words(unit.attributes.get("body_part"), hidden),
        sequence=shown_words(unit.attributes.get("sequence"), hidden),
        scanner=shown_words(unit.attributes.get("scanner"), hidden),
        site=known.site,
        age_years=age_years(unit.attributes.get("age", "")),
        sex=sex(unit.attributes.get("sex", "")),
        attributes=dict(known.attributes) | _kept(unit, volume, hidden),
        group=known.group,
        split="train",
        bytes=int(volume.voxels.nbytes),
    )


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


def _kept(unit: Unit, volume: Volume, hidden: Pseudonyms) -> dict[str, str]:
    """Return what is worth knowing of some cases: units, burned-in text, what was resampled."""
    regrid = unit.stack and unit.stack.regrid
    written = f"{SUSPECTED}: {TEXT_REGIONS}" if has_text(volume.voxels) else None
    of_some = {
        "units": shown_words(unit.attributes.get("units"), hidden),
        "burned_in": unit.attributes.get("burned_in") or written,
        "resampled": regrid.sentence if regrid else None,
    }
    return {name: value for name, value in of_some.items() if value} | _nonfinite(volume)


def _nonfinite(volume: Volume) -> dict[str, str]:
    """Return how many voxels are NaN or infinite, if any is."""
    if volume.voxels.dtype.kind != "f":
        return {}
    count = volume.voxels.size - int(np.isfinite(volume.voxels).sum())
    return {"nonfinite": str(count)} if count else {}
