"""The ledger: every file that was looked at, what was seen in it, and what became of it.

It is a database: it grows on disk, not in memory. What became of a file is of one run; what was
seen in it outlives the run, interrupted or not, so that the next one looks only at files that
are new or changed.
"""

import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pyarrow as pa

from medssl.data.archive.database import open_database, save
from medssl.data.archive.looks import Looks
from medssl.data.archive.private import text_of
from medssl.data.archive.pseudonyms import Pseudonyms
from medssl.data.archive.walk import File
from medssl.data.layouts import Layout
from medssl.data.verdicts import Code, RefusedError

VERDICTS = pa.schema(
    {
        "file_id": pa.string(),
        "status": pa.string(),
        "code": pa.string(),
        "sentence": pa.string(),
        "case_id": pa.string(),
        "further_case_ids": pa.list_(pa.string()),
    },
    metadata={"medssl.verdicts": "2"},
)
FILES = pa.schema(
    {
        "file_id": pa.string(),
        "path": pa.string(),
        "case_id": pa.string(),
        "position": pa.int32(),
        "image": pa.int32(),
    },
    metadata={"medssl.files": "2"},
)
IN_PART = "part of it is in no case: "
BATCH = 10_000  # rows that are turned into columns at a time


@dataclass(frozen=True)
class Use:
    """What a case takes of a file.

    Args:
        case_id: The case.
        position: Which slice of a series it is.
        image: Which image of a file with several it is, from 1.
    """

    case_id: str
    position: int | None = None
    image: int | None = None


@dataclass(frozen=True)
class Entry:
    """One file's account; one file may hold several cases, and images of none."""

    file: File
    file_id: str
    code: Code | None
    sentence: str
    is_accepted: bool


class Ledger:
    """Accounts of files, in the order in which they were opened.

    Args:
        pseudonyms: What ids are made by.
        path: The database; in memory without one.
        layouts: What the files of a source hold, by the source's number, where formats do not.
    """

    def __init__(
        self,
        pseudonyms: Pseudonyms,
        path: Path | None = None,
        layouts: Mapping[int, Layout] = MappingProxyType({}),
    ) -> None:
        self.pseudonyms = pseudonyms
        # Under another key the ids are others.
        self._base = open_database(path, pseudonyms("stamp", ""))
        self.layouts = layouts
        self.looks = Looks(self._base, layouts)

    def __len__(self) -> int:
        return int(self._one("SELECT COUNT(*) FROM files"))

    def save(self) -> None:
        """Make what was written so far outlive this process."""
        save(self._base)

    def close(self) -> None:
        """Save, and let go of the database."""
        save(self._base)
        self._base.close()

    def open(self, files: Iterable[File], *, role: str = "image") -> None:
        """Open accounts of files that have none yet."""
        self._base.executemany(
            "INSERT OR IGNORE INTO files"
            " (path, name, stem, source, role, file_id, size_bytes, changed_ns, layout)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                (
                    os.fsencode(file.path), os.fsencode(file.name), os.fsencode(file.stem),
                    file.source, role,
                    self.pseudonyms("file", f"{role}|{file.source}|{file.name}"),
                    file.size_bytes, file.changed_ns, repr(self.layouts.get(file.source)),
                )
                for file in files
            ),
        )  # fmt: skip

    def file_id(self, path: Path) -> str:
        """Return the id of a file."""
        return str(self._one("SELECT file_id FROM files WHERE path = ?", os.fsencode(path)))

    def file(self, path: Path) -> File | None:
        """Return the file that has an account under this path."""
        row = self._base.execute(
            "SELECT path, name, source FROM files WHERE path = ?", (os.fsencode(path),)
        ).fetchone()
        return row and _file(*row)

    def knows(self, name: str) -> bool:
        """Say whether a file or a series of this name was there, refused or not."""
        row = self._base.execute(
            "SELECT 1 FROM files WHERE role = 'image' AND stem = ?", (os.fsencode(name),)
        ).fetchone()
        return row is not None or self.looks.has_series(name)

    def accept(self, uses: Iterable[tuple[Path, Use]], *, code: Code = Code.IMAGE) -> None:
        """Write down what a case takes of files; what was refused of an image is not forgotten."""
        rows = [(os.fsencode(path), use.case_id, use.position, use.image) for path, use in uses]
        kept = f"'{IN_PART}' || code || ', ' || sentence" if code is Code.IMAGE else "''"
        self._base.executemany(
            f"UPDATE files SET code = ?1, accepted = 1, sentence = IIF(code IS NULL, '', {kept})"
            " WHERE path = ?2 AND NOT accepted",
            [(str(code), path) for path, *_ in rows],
        )
        noted = self._base.executemany(
            "INSERT INTO uses SELECT place, ?2, ?3, ?4 FROM files WHERE path = ?1", rows
        )
        if noted.rowcount != len(rows):
            msg = f"{len(rows)} files were to be accepted, {noted.rowcount} have an account"
            raise RuntimeError(msg)

    def refuse(self, path: Path, refusal: RefusedError) -> None:
        """Write down why a file was not taken; one that a case holds stays accepted."""
        place, _, sentence, accepted = self._account(path)
        if not accepted:
            self._base.execute(
                "UPDATE files SET code = ?, sentence = ? WHERE place = ?",
                (str(refusal.code), refusal.sentence, place),
            )
        elif not sentence:
            self._base.execute(
                "UPDATE files SET sentence = ? WHERE place = ?",
                (_in_part(refusal.code, refusal.sentence), place),
            )

    def counts(self) -> Counter[tuple[bool, str]]:
        """Count files by whether they were accepted and by code.

        Raises:
            RuntimeError: If a file has no verdict, which is a fault of this program.
        """
        if open_ids := self._base.execute(
            "SELECT file_id FROM files WHERE code IS NULL"
        ).fetchall():
            msg = f"{len(open_ids)} of {len(self)} files have no verdict: {open_ids[:5]}"
            raise RuntimeError(msg)
        rows = self._base.execute("SELECT accepted, code, COUNT(*) FROM files GROUP BY 1, 2")
        counts = Counter({(bool(accepted), code): number for accepted, code, number in rows})
        if counts.total() != len(self):
            msg = f"{counts.total()} files have a verdict, {len(self)} were looked at"
            raise RuntimeError(msg)
        return counts

    @property
    def entries(self) -> dict[Path, Entry]:
        """The account of each file, in order; for archives that fit in memory."""
        rows = self._base.execute(
            "SELECT path, name, source, file_id, code, sentence, accepted FROM files ORDER BY place"
        )
        return {
            (file := _file(*row[:3])).path: Entry(
                file, row[3], row[4] and Code(row[4]), row[5], bool(row[6])
            )
            for row in rows
        }

    def verdicts(self) -> pa.Table:
        """Return a row a file, without a name."""
        self.counts()
        rows = self._base.execute(
            "SELECT file_id, CASE accepted WHEN 1 THEN 'accepted' ELSE 'refused' END, code,"
            " sentence, (SELECT json_group_array(case_id) FROM (SELECT case_id FROM uses"
            " WHERE uses.place = files.place ORDER BY rowid)) FROM files ORDER BY place"
        )
        return _table(
            (
                (*row[:4], next(iter(cases), None), cases[1:])
                for row in rows
                for cases in [list(dict.fromkeys(json.loads(row[4])))]
            ),
            VERDICTS,
        )

    def files(self) -> pa.Table:
        """Return a row a file and what is taken of it, with its real path: for `private/` only."""
        rows = self._base.execute(
            "SELECT file_id, path, case_id, position, image FROM files LEFT JOIN uses"
            " USING (place) ORDER BY place, uses.rowid"
        )
        return _table(((row[0], text_of(row[1]), *row[2:]) for row in rows), FILES)

    def _account(self, path: Path) -> tuple[int, str | None, str, int]:
        row: tuple[int, str | None, str, int] = self._base.execute(
            "SELECT place, code, sentence, accepted FROM files WHERE path = ?", (os.fsencode(path),)
        ).fetchone()
        return row

    def _one(self, query: str, *values: object) -> Any:
        return self._base.execute(query, values).fetchone()[0]


def _file(path: bytes, name: bytes, source: int) -> File:
    return File(Path(os.fsdecode(path)), os.fsdecode(name), source)


def _table(rows: Iterator[tuple[object, ...]], schema: pa.Schema) -> pa.Table:
    """Return rows as a table, without a Python object of each at a time."""
    batches = []
    while columns := list(zip(*islice(rows, BATCH), strict=True)):
        arrays = [pa.array(c, f.type) for c, f in zip(columns, schema, strict=True)]
        batches.append(pa.record_batch(arrays, schema=schema))
    return pa.Table.from_batches(batches, schema)


def _in_part(code: str, sentence: str) -> str:
    return f"{IN_PART}{code}, {sentence}"
