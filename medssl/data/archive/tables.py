"""What the user knows of an archive: tables of text, a row an image."""

import csv
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from medssl.data.formats import without_suffix
from medssl.errors import DataError

IMAGE, SERIES = "image", "series_uid"


def read_rows(path: Path, needed: Sequence[str]) -> list[dict[str, str]]:
    """Read a CSV file with a line of column names.

    Raises:
        DataError: If it is not there or lacks a column.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            rows = [{key: value or "" for key, value in row.items() if key} for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        msg = f"expected a CSV table in UTF-8, got {type(error).__name__}"
        raise DataError(msg) from error
    columns = list(reader.fieldnames or ())
    if missing := [name for name in needed if name not in columns]:
        # What stands in the first line is not repeated: without a header it is a patient.
        msg = f"needs the columns {missing}, has {len(columns)} others in its first line"
        raise DataError(msg)
    return rows


def by_name(rows: Sequence[Mapping[str, str]]) -> dict[str, Mapping[str, str]]:
    """Return rows by the image they are about: a series UID, or a file without its suffix.

    Raises:
        DataError: If there is no column that says, or an image has two rows.
    """
    if rows and IMAGE not in rows[0] and SERIES not in rows[0]:
        msg = f"expected a column {IMAGE!r} or {SERIES!r}, got {len(rows[0])} others"
        raise DataError(msg)
    found: dict[str, Mapping[str, str]] = {}
    for line, row in enumerate(rows, start=2):
        name = row.get(SERIES) or without_suffix(row.get(IMAGE, ""))
        if not name or name in found:
            what = "names no image" if not name else "names an image that an earlier line names"
            msg = f"line {line} {what}"
            raise DataError(msg)
        found[name] = row
    return found


def subjects(path: Path) -> dict[str, str]:
    """Read which subject each image is of: the columns `image` (or `series_uid`), `subject`."""
    rows = by_name(read_rows(path, ["subject"]))
    return {name: row["subject"] for name, row in rows.items()}


def attributes(
    path: Path, image: str, columns: Sequence[str]
) -> dict[str, tuple[tuple[str, str], ...]]:
    """Read named values of images.

    Args:
        path: The table.
        image: What the image of a row is called, with the row's columns in braces, such as
            `{patient_id}_R_{nodule_id}`.
        columns: What to keep.

    Raises:
        DataError: If a column is missing, or an image has two rows.
    """
    used = re.findall(r"{(\w+)}", image)
    rows = read_rows(path, [*used, *columns])
    named = [{IMAGE: image.format_map(row)} | {name: row[name] for name in columns} for row in rows]
    return {
        name: tuple((column, row[column]) for column in columns)
        for name, row in by_name(named).items()
    }


def attributes_in(pattern: str, name: str) -> tuple[tuple[str, str], ...]:
    """Return what the named groups of a pattern find in a file's name; nothing where it fails."""
    found = re.search(pattern, name)
    said = found.groupdict() if found else {}
    return tuple((key, value) for key, value in said.items() if value)


def subject_in(pattern: str, name: str, file_id: str) -> str:
    """Return what the first group of a pattern finds in a file's name.

    Raises:
        DataError: If it finds nothing; the file is named by its id.
    """
    found = re.search(pattern, name)
    if found is None or not found.group(1):
        msg = (
            f"the subject pattern {pattern!r} finds nothing in the name of file {file_id}; "
            "private/files.parquet says which one that is"
        )
        raise DataError(msg)
    return found.group(1)
