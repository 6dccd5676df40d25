"""The database behind a ledger and what was seen: on disk, so that memory does not grow."""

import sqlite3
from pathlib import Path

from medssl.errors import DataError

# Raise it when the same file is seen, or the same volume is measured, otherwise than before.
VERSION = 7
CLOSED = (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM)
DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
STAMP = "CREATE TABLE IF NOT EXISTS stamp (text TEXT)"
KEPT = """
CREATE TABLE IF NOT EXISTS looks (
    path BLOB PRIMARY KEY, size_bytes INTEGER, changed_ns INTEGER, layout TEXT, digest TEXT,
    series TEXT, series_uid TEXT, broken TEXT, code TEXT, sentence TEXT, parts TEXT, found TEXT);
CREATE INDEX IF NOT EXISTS looks_of_series ON looks (series);
CREATE INDEX IF NOT EXISTS looks_of_uid ON looks (series_uid);
CREATE INDEX IF NOT EXISTS looks_of_broken ON looks (broken);
CREATE TABLE IF NOT EXISTS volumes (key TEXT PRIMARY KEY, found TEXT, is_used INTEGER);
UPDATE volumes SET is_used = 0;
"""
OF_ONE_RUN = """
DROP TABLE IF EXISTS files;
DROP TABLE IF EXISTS uses;
CREATE TABLE files (
    place INTEGER PRIMARY KEY, path BLOB UNIQUE, name BLOB, stem BLOB, source INTEGER, role TEXT,
    file_id TEXT, size_bytes INTEGER, changed_ns INTEGER, layout TEXT,
    code TEXT, sentence TEXT DEFAULT '', accepted INTEGER DEFAULT 0);
CREATE INDEX files_of_stem ON files (stem);
CREATE TABLE uses (place INTEGER, case_id TEXT, position INTEGER, image INTEGER);
CREATE INDEX uses_of_file ON uses (place);
"""


def open_database(path: Path | None, stamp: str) -> sqlite3.Connection:
    """Open the database, or one in memory; what was kept under another stamp is forgotten.

    So is all of a database that is damaged. A transaction is begun.

    Raises:
        DataError: If what is there is no file that may be written to.
    """
    if path is None:
        return _opened(":memory:", stamp)
    path.touch(mode=0o600)
    try:
        return _opened(path, stamp)
    except sqlite3.DatabaseError as error:
        if error.sqlite_errorcode in CLOSED:
            msg = f"{path}: expected a file for notes, got {str(error)!r}; move away what is there"
            raise DataError(msg) from error
        if error.sqlite_errorcode not in DAMAGED:
            raise
    path.unlink()
    path.with_name(f"{path.name}-journal").unlink(missing_ok=True)
    path.touch(mode=0o600)
    return _opened(path, stamp)


def _opened(path: Path | str, stamp: str) -> sqlite3.Connection:
    base = sqlite3.connect(path, isolation_level=None)
    try:
        # Whoever kills this process finds it whole; after a power cut it may be damaged.
        base.execute("PRAGMA synchronous = OFF")
        base.execute("BEGIN")
        base.execute(STAMP)
        stamp = f"{VERSION} {stamp}"
        if base.execute("SELECT text FROM stamp").fetchall() != [(stamp,)]:
            for table in ("looks", "volumes"):
                base.execute(f"DROP TABLE IF EXISTS {table}")
            base.execute("DELETE FROM stamp")
            base.execute("INSERT INTO stamp VALUES (?)", (stamp,))
        for statement in (KEPT + OF_ONE_RUN).split(";"):
            base.execute(statement)
        save(base)
    except sqlite3.Error:
        base.close()
        raise
    return base


def save(base: sqlite3.Connection) -> None:
    """Make what was written so far outlive this process."""
    if base.in_transaction:  # a full disk has ended it
        base.execute("COMMIT")
    base.execute("BEGIN")
