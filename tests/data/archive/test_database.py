"""What an earlier version kept, in other columns, is forgotten and no fault."""

import sqlite3
from contextlib import closing

import pytest

from medssl.data.archive.database import open_database


@pytest.mark.parametrize("stamp", ["1 of another version", ""])
def test_tables_of_another_version_are_made_anew(tmp_path, stamp):
    path = tmp_path / "looks.sqlite"
    with closing(sqlite3.connect(path)) as base:
        base.executescript(
            "CREATE TABLE stamp (text TEXT); CREATE TABLE looks (path BLOB PRIMARY KEY);"
            "CREATE TABLE volumes (key TEXT); INSERT INTO looks VALUES ('x')"
        )
        base.execute("INSERT INTO stamp VALUES (?)", (stamp,))
        base.commit()
    with closing(open_database(path, "stamp")) as base:
        assert base.execute("SELECT COUNT(layout) FROM looks").fetchall() == [(0,)]
        base.execute("INSERT INTO volumes VALUES ('key', '{}', 1)")
        base.execute("COMMIT")
    with closing(open_database(path, "stamp")) as base:
        assert base.execute("SELECT key FROM volumes").fetchall() == [("key",)]
    with closing(open_database(path, "another key")) as base:
        assert not base.execute("SELECT key FROM volumes").fetchall()
