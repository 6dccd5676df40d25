"""Labels and images of each source put together, as its config asks."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from medssl.config.stages.index import Labels, Root
from medssl.data.archive.labels import (
    Pairing,
    labels_in,
    labels_listed,
    labels_matching,
    labels_of,
)
from medssl.data.archive.ledger import Ledger
from medssl.data.archive.objects import Objects
from medssl.data.archive.units import Unit, find_units
from medssl.data.archive.walk import File
from medssl.data.dicom.regrid import Allowed
from medssl.data.mirror import resolve
from medssl.data.verdicts import Code, RefusedError
from medssl.errors import DataError
from pipelines._hidden import about, place_of


def label_files(number: int, source: Root, root: Path) -> dict[str, File]:
    """Return a source's label files by the name of their image."""
    labels, key = source.labels, f"sources.{number}"
    if labels is None or labels.objects is not None:
        return {}
    if labels.folder is not None:
        folder = place_of(labels.folder, f"{key}.labels.folder")
        with about(f"{key}.labels.folder"):
            return labels_in(folder, number)
    if labels.match is not None:
        said, include = labels.match, source.include
        with about(f"{key}.root"):
            return labels_matching(said.image, said.label, root, include=include, source=number)
    if labels.datalist is not None:
        with about(f"{key}.labels.datalist"):
            return labels_listed(resolve(labels.datalist), root, number)
    with about(f"{key}.labels.csv"):
        return labels_of(resolve(labels.csv or ""), number)


def pair_labels(
    sources: Sequence[Root],
    labels: Sequence[dict[str, File]],
    objects: Mapping[str, Objects],
    ledger: Ledger,
    allowed: Allowed,
) -> list[Pairing]:
    """Put labels and images together; what is left over is treated as configured."""
    without: list[list[Unit]] = [[] for _ in sources]
    if any(root.labels for root in sources):
        for unit in find_units(ledger, allowed):
            if sources[unit.source].labels and not (
                unit.name in labels[unit.source] or unit.identity in objects
            ):
                without[unit.source].append(replace(unit, stack=None))
    return [
        _left(number, root.labels, labels[number], tuple(without[number]), ledger)
        for number, root in enumerate(sources)
    ]


def _left(
    number: int,
    labels: Labels | None,
    found: dict[str, File],
    without_label: tuple[Unit, ...],
    ledger: Ledger,
) -> Pairing:
    if labels is None:
        return Pairing()
    without_image = tuple(file for name, file in found.items() if not ledger.knows(name))
    pairing = Pairing(found, without_image, without_label)
    if labels.unpaired == "error" and (without_image or without_label):
        raise DataError(_left_over(number, pairing, ledger))
    for file in found.values():  # those that a case takes are accepted later
        what = "is not there" if file in without_image else "was refused"
        refusal = RefusedError(Code.LABEL_WITHOUT_IMAGE, f"a label whose image {what}")
        ledger.refuse(file.path, refusal)
    if labels.unpaired == "refuse":
        refusal = RefusedError(Code.IMAGE_WITHOUT_LABEL, "an image whose label is not there")
        for unit in without_label:
            for file in unit.files:
                ledger.refuse(file.path, refusal)
        return pairing
    return replace(pairing, without_label=())


def _left_over(number: int, pairing: Pairing, ledger: Ledger) -> str:
    labels = [ledger.file_id(file.path) for file in pairing.without_image]
    images = [ledger.file_id(unit.files[0].path) for unit in pairing.without_label]
    parts = [
        f"{len(ids)} {what} ({', '.join(ids[:5])}{', ...' if len(ids) > 5 else ''})"
        for ids, what in ((labels, "labels without image"), (images, "images without label"))
        if ids
    ]
    return (
        f"sources.{number}: {' and '.join(parts)}; private/files.parquet in the output folder says "
        "which files these are. Complete them, or set labels.unpaired to `keep` or `refuse`"
    )
