"""What was seen in the files of an archive, over the runs of `index`.

A file is looked at again if its size changed, or its date and then its digest.
"""

import json
import os
import sqlite3
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from medssl.data.archive.look import Due, Look, Row, headers_of
from medssl.data.archive.walk import File
from medssl.data.dicom.header import Header
from medssl.data.layouts import Layout
from medssl.data.verdicts import Code, RefusedError

IMAGES = "files JOIN looks USING (path) WHERE role = 'image'"
CHANGED = (
    "role = 'image' AND (digest IS NULL OR looks.size_bytes != files.size_bytes"
    " OR looks.changed_ns != files.changed_ns OR looks.layout != files.layout)"
)
MOST_NAMES = 500  # that one question holds


@dataclass(frozen=True)
class Group:
    """Files that are divided into volumes together: those of one series, or one by itself."""

    series: str | None
    files: tuple[tuple[File, Look], ...]


class Looks:
    """What was seen in each file.

    Args:
        base: The database.
        layouts: What the files of a source hold, by the source's number.
    """

    def __init__(self, base: sqlite3.Connection, layouts: Mapping[int, Layout]) -> None:
        self._base = base
        self.layouts = layouts

    def num_due(self) -> int:
        """Return how many images are to be looked at."""
        row = self._base.execute(
            f"SELECT COUNT(*) FROM files LEFT JOIN looks USING (path) WHERE {CHANGED}"
        ).fetchone()
        return int(row[0])

    def due(self, count: int) -> Iterator[list[Due]]:
        """Yield, by so many, the images to look at."""
        place = -1
        while rows := self._base.execute(
            "SELECT place, path, files.size_bytes, IIF(looks.size_bytes = files.size_bytes"
            " AND looks.layout = files.layout, digest, NULL), source"
            f" FROM files LEFT JOIN looks USING (path) WHERE place > ? AND {CHANGED}"
            " ORDER BY place LIMIT ?",
            (place, count),
        ).fetchall():
            place = rows[-1][0]
            yield [
                Due(_path(path), size_bytes, known, self.layouts.get(source))
                for _, path, size_bytes, known, source in rows
            ]

    def write(self, looks: Sequence[tuple[bytes, Row | None]]) -> None:
        """Write down what was seen; where it is none, the file is as it was under another date."""
        self._base.executemany(
            "UPDATE looks SET changed_ns = (SELECT changed_ns FROM files WHERE path = ?1)"
            " WHERE path = ?1",
            [(path,) for path, look in looks if look is None],
        )
        self._base.executemany(
            "INSERT OR REPLACE INTO looks SELECT path, size_bytes, changed_ns, layout,"
            " ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9 FROM files WHERE path = ?1",
            [(path, *look) for path, look in looks if look is not None],
        )

    def forget_the_rest(self) -> None:
        """Drop what was kept of files and volumes that are not there any more."""
        self._base.execute("DELETE FROM looks WHERE path NOT IN (SELECT path FROM files)")
        self._base.execute("DELETE FROM volumes WHERE NOT is_used")

    def refusals(self) -> Iterator[tuple[Path, RefusedError]]:
        """Yield the images that cannot be taken whatever else is there, in order."""
        place = -1
        while row := self._base.execute(
            f"SELECT place, path, looks.code, looks.sentence FROM {IMAGES}"
            " AND looks.code IS NOT NULL AND place > ? ORDER BY place LIMIT 1",
            (place,),
        ).fetchone():
            place, path, code, sentence = row
            yield _path(path), RefusedError(Code(code), sentence)

    def parts(self) -> set[Path]:
        """Return the files that hold voxels of a volume whose header is in another one."""
        rows = self._base.execute(f"SELECT parts FROM {IMAGES} AND parts IS NOT NULL")
        return {_path(bytes.fromhex(part)) for (text,) in rows for part in json.loads(text)}

    def broken(self, series: str) -> list[tuple[Path, str]]:
        """Return the files of a series that have lost their end, and the instance UID of each."""
        rows = self._base.execute(
            f"SELECT path, found FROM {IMAGES} AND broken = ? ORDER BY place DESC", (series,)
        )
        return [(_path(path), json.loads(found)["lost"]) for path, found in rows]

    def digest(self, path: Path) -> str:
        """Return the digest of a file that was looked at."""
        row = self._base.execute(
            "SELECT digest FROM looks WHERE path = ?", (os.fsencode(path),)
        ).fetchone()
        return str(row[0])

    def has_series(self, uid: str) -> bool:
        """Say whether a series of this UID was there, refused or not."""
        row = self._base.execute(f"SELECT 1 FROM {IMAGES} AND series_uid = ?", (uid,)).fetchone()
        return row is not None

    def num_usable(self) -> int:
        """Return how many files hold images, as far as each can say by itself."""
        row = self._base.execute(f"SELECT COUNT(*) FROM {IMAGES} AND looks.code IS NULL").fetchone()
        return int(row[0])

    def groups(self) -> Iterator[Group]:
        """Yield the files that hold images, in the order of the first of each group."""
        # Asked for one by one: what a cursor is open on must not be written to meanwhile.
        self._base.execute("DROP TABLE IF EXISTS temp.firsts")
        self._base.execute(
            "CREATE TEMP TABLE firsts AS SELECT MIN(place) AS first, path, series"
            f" FROM {IMAGES} AND looks.code IS NULL GROUP BY COALESCE(series, path)"
        )
        self._base.execute("CREATE UNIQUE INDEX temp.firsts_in_order ON firsts (first)")
        place = -1
        while row := self._base.execute(
            "SELECT first, path, series FROM temp.firsts WHERE first > ? ORDER BY first LIMIT 1",
            (place,),
        ).fetchone():
            place, path, series = row
            yield self._group(series, *(("path", path) if series is None else ("series", series)))

    def _group(self, series: str | None, column: str, value: object) -> Group:
        rows = self._base.execute(
            "SELECT path, name, source, digest, series, series_uid, broken, looks.code,"
            f" looks.sentence, parts, found FROM {IMAGES} AND looks.{column} = ?"
            " AND looks.code IS NULL ORDER BY place",
            (value,),
        )
        files = ((File(_path(row[0]), os.fsdecode(row[1]), row[2]), row[3:]) for row in rows)
        return Group(series, tuple((file, Look.of(rest, file.path)) for file, rest in files))

    def recall(self, key: str) -> Mapping[str, Any] | None:
        """Return what an earlier run found in a volume."""
        row = self._base.execute("SELECT found FROM volumes WHERE key = ?", (key,)).fetchone()
        if row is None:
            return None
        self._base.execute("UPDATE volumes SET is_used = 1 WHERE key = ?", (key,))
        found: dict[str, Any] = json.loads(row[0])
        return found

    def remember(self, key: str, found: Mapping[str, Any]) -> None:
        """Keep what was found in a volume for the next run."""
        text = json.dumps(found)
        self._base.execute("INSERT OR REPLACE INTO volumes VALUES (?, ?, 1)", (key, text))


def known_headers(database: Path, images: Sequence[tuple[Path, int | None]]) -> list[Header] | None:
    """Return the headers of images as they were seen; none if a file changed since.

    Args:
        database: What `index` kept.
        images: The file and which image of it, from 1; none for a file that is one image.
    """
    if not database.is_file():
        return None
    wanted: dict[Path, set[int | None]] = defaultdict(set)
    for path, image in images:
        wanted[path].add(image)
    paths = {os.fsencode(path): path for path in wanted}
    names = list(paths)
    stamps = {name: _stamp(path) for name, path in paths.items()}
    seen: dict[tuple[Path, int | None], Header] = {}
    with closing(sqlite3.connect(f"{database.absolute().as_uri()}?mode=ro", uri=True)) as base:
        for start in range(0, len(names), MOST_NAMES):
            some = names[start : start + MOST_NAMES]
            rows = base.execute(
                "SELECT path, size_bytes, changed_ns, found FROM looks"
                f" WHERE path IN ({', '.join('?' * len(some))})",
                some,
            )
            for name, size_bytes, changed_ns, found in rows:
                path = paths[name]
                if stamps[name] == (size_bytes, changed_ns):
                    for header in headers_of(json.loads(found), path, wanted[path]):
                        seen[path, header.image] = header
    headers = [seen.get(image) for image in images]
    return None if None in headers else cast(list[Header], headers)


def _stamp(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_size, found.st_mtime_ns


def _path(name: bytes) -> Path:
    return Path(os.fsdecode(name))
