"""Which label volume belongs to which image, and what is left over."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path

import numpy as np

from medssl.data.archive.tables import by_name, read_rows
from medssl.data.archive.units import Unit
from medssl.data.archive.walk import File, walk
from medssl.data.formats import reader_of, without_suffix
from medssl.data.manifest import Case
from medssl.data.verdicts import Code, RefusedError
from medssl.errors import DataError
from medssl.geometry import same_grid


@dataclass(frozen=True)
class Pairing:
    """Labels and images of one source, put together by name.

    Args:
        labels: By the image's name.
        without_image: Labels whose image is not there.
        without_label: Images whose label is not there.
    """

    labels: Mapping[str, File] = field(default_factory=dict)
    without_image: tuple[File, ...] = ()
    without_label: tuple[Unit, ...] = ()


def labels_in(folder: Path, source: int) -> dict[str, File]:
    """List the volumes below a folder by the name of the image each one is of: its own.

    Raises:
        DataError: If a folder in it cannot be listed: its labels would be taken for absent.
    """
    files = list(walk(folder, source=source))
    if closed := sum(file.is_folder for file in files):
        msg = f"expected folders of labels, {closed} cannot be listed; have their owner allow it"
        raise DataError(msg)
    return {file.stem: file for file in files if file.reader is not None}


def labels_of(table: Path, source: int) -> dict[str, File]:
    """List the label files that a table names, by the image each one is of.

    The columns are `image` or `series_uid`, and `label`, a path from the table's folder. A file
    that is not there is left out, and its image is without label.
    """
    rows = by_name(read_rows(table, ["label"]))
    named = {name: table.parent.resolve() / row["label"] for name, row in rows.items()}
    return {
        name: File(path, rows[name]["label"], source)
        for name, path in named.items()
        if path.is_file()
    }


def labels_matching(
    image: str, label: str, root: Path, *, include: str, source: int
) -> dict[str, File]:
    """List label files by what the paths of images say; labels that no image has, by their own.

    Args:
        image: A regular expression on an image's path below the root, with named groups.
        label: The path of its label below the root, the groups in braces.
        root: The source's folder.
        include: Which files are images.
        source: The source's number.
    """
    there = {file.name: file for file in walk(root, source=source) if file.reader is not None}
    found = {}
    for file in walk(root, include=include, source=source):
        if file.is_folder:  # which has a verdict of its own
            continue
        match = re.fullmatch(image, file.name)
        name = match and label.format_map(match.groupdict(default=""))
        if name and name in there:
            found[file.stem] = there[name]
    shape = re.sub(r"{\w+}", "*", label)
    taken = {file.name for file in found.values()}
    left = {n: f for n, f in there.items() if fnmatchcase(n, shape) and n not in taken}
    return found | {file.stem: file for file in left.values()}


def labels_listed(table: Path, root: Path, source: int) -> dict[str, File]:
    """List the label files that a datalist pairs with images, both by their paths from its folder.

    Raises:
        DataError: If it is no datalist, or an image or a label lies elsewhere.
    """
    folder = table.parent.resolve()
    found = {}
    for row in _training(table):
        image, label = ((folder / row[key]).resolve() for key in ("image", "label"))
        if not (image.is_relative_to(root.resolve()) and label.is_relative_to(folder)):
            msg = (
                "expected images below the source's folder and labels below the list's, a row "
                "names one elsewhere"
            )
            raise DataError(msg)
        if label.is_file():
            name = image.relative_to(root.resolve()).as_posix()
            found[without_suffix(name)] = File(label, label.relative_to(folder).as_posix(), source)
    return found


def _training(table: Path) -> list[dict[str, str]]:
    try:
        rows = json.loads(table.read_text())["training"]
        return [{key: str(row[key]) for key in ("image", "label")} for row in rows]
    except (OSError, ValueError, KeyError, TypeError) as error:
        msg = (
            "expected a JSON file whose `training` lists pairs of `image` and `label`, "
            f"got {type(error).__name__}"
        )
        raise DataError(msg) from error


def check_grid(label: File, case: Case) -> None:
    """Compare a label's header with its image's grid.

    Raises:
        RefusedError: If the label does not lie on it.
    """
    reader = reader_of(label.path.name)
    if reader is None:
        sentence = "a label whose name says no format that medssl reads"
        raise RefusedError(Code.UNSUPPORTED, sentence)
    shape, affine = reader.grid(label.path)
    image_affine = np.array(case.affine, np.float64).reshape(4, 4)
    if len(shape) != 3 or not same_grid(shape, affine, case.shape, image_affine):
        sentence = (
            f"a label of shape {shape} is not on the grid of its image, which has shape "
            f"{tuple(case.shape)}: expected equal shapes and affines within 1e-3 mm in RAS order"
        )
        raise RefusedError(Code.LABEL_GRID_DIFFERS, sentence)
