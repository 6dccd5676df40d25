"""DICOM segmentations and RT structure sets as labels: where the config asks for them."""

from collections.abc import Iterable, Sequence

from medssl.config.stages.index import Root
from medssl.data.archive.ledger import Ledger
from medssl.data.archive.objects import KINDS, Archive, Objects, find_objects, refuse_objects
from medssl.data.archive.units import find_units
from medssl.data.archive.walk import File
from medssl.data.dicom.regrid import Allowed
from medssl.data.manifest import Case, Manifest

Label = File | Objects | None


def objects_of(
    roots: Sequence[Root],
    labels: Sequence[dict[str, File]],
    ledger: Ledger,
    allowed: Allowed,
) -> dict[str, Objects]:
    """Return the DICOM objects that label an image, by the image's identity.

    Where any are asked for, all headers are held in memory: an object may be of any image.
    """
    classes = {
        number: root.labels.objects.classes
        for number, root in enumerate(roots)
        if root.labels is not None and root.labels.objects is not None
    }
    if not classes:
        return {}
    archive = Archive(tuple(find_units(ledger, allowed)), ledger.looks.has_series)
    files = [
        (entry.file, classes[entry.file.source])
        for entry in ledger.entries.values()
        if entry.code in KINDS and entry.file.source in classes
    ]
    found = find_objects(files, archive, ledger)
    for unit in archive.units:
        if unit.identity in found and unit.name in labels[unit.source]:
            refuse_objects(found.pop(unit.identity), ledger)
    return found


def drawn_in(read: Iterable[tuple[Label, Case]], manifest: Manifest) -> dict[str, Objects]:
    """Return the objects of each case that has them as its label."""
    labeled = {case.case_id for case in manifest if case.label_uri is not None}
    return {
        case.case_id: label
        for label, case in read
        if isinstance(label, Objects) and case.case_id in labeled
    }
