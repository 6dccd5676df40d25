"""Which label volume belongs to which image, and what is left over."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from medssl.data.archive.tables import by_name, read_rows
from medssl.data.archive.units import Unit
from medssl.data.archive.walk import File, walk
from medssl.data.manifest import Case
from medssl.data.readers.nifti import read_grid
from medssl.data.verdicts import Code, RefusedError
from medssl.geometry import same_grid


@dataclass(frozen=True)
class Pairing:
    """Labels and images of one source, put together by name.

    Args:
        labels: By the image's name.
        without_image: Labels whose image is not there.
        without_label: Images whose label is not there.
    """

    labels: Mapping[str, File]
    without_image: tuple[File, ...]
    without_label: tuple[Unit, ...]


def labels_in(folder: Path, source: int) -> dict[str, File]:
    """List the NIfTI files below a folder by the name of the image each one is of: its own."""
    return {file.stem: file for file in walk(folder, source=source) if file.is_nifti}


def labels_of(table: Path, source: int) -> dict[str, File]:
    """List the label files that a table names, by the image each one is of.

    The columns are `image` or `series_uid`, and `label`, a path from the table's folder. A file
    that is not there is left out, and its image is without label.
    """
    rows = by_name(read_rows(table, ["label"]), table)
    named = {name: table.parent.resolve() / row["label"] for name, row in rows.items()}
    return {
        name: File(path, rows[name]["label"], source)
        for name, path in named.items()
        if path.is_file()
    }


def pair(labels: Mapping[str, File], units: Iterable[Unit], names: frozenset[str]) -> Pairing:
    """Put labels and images together.

    Args:
        labels: By the name of the image each is of.
        units: The source's images.
        names: Of all images that are there, including those that were refused.
    """
    return Pairing(
        labels,
        tuple(file for name, file in labels.items() if name not in names),
        tuple(unit for unit in units if unit.name not in labels),
    )


def check_grid(label: File, case: Case) -> None:
    """Compare a label's header with its image's grid.

    Raises:
        RefusedError: If the label does not lie on it.
    """
    shape, affine = read_grid(label.path)
    image_affine = np.array(case.affine, np.float64).reshape(4, 4)
    if len(shape) != 3 or not same_grid(shape, affine, case.shape, image_affine):
        sentence = (
            f"a label of shape {shape} is not on the grid of its image, which has shape "
            f"{tuple(case.shape)}: expected equal shapes and affines within 1e-3 mm in RAS order"
        )
        raise RefusedError(Code.LABEL_GRID_DIFFERS, sentence)
