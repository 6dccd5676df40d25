"""The files below a folder, of which some may not be for us to see."""

import pytest

from medssl.data.archive.ledger import Ledger
from medssl.data.archive.pseudonyms import Pseudonyms
from medssl.data.archive.scan import scan
from medssl.data.archive.walk import walk
from medssl.errors import DataError


@pytest.fixture
def folder(tmp_path):
    for name in ("a.txt", "b/c.txt", "b/d/e.txt", "b/f.dcm", "b.txt", "g/h.txt"):
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / name).write_text(name)
    return tmp_path / "in"


def names(folder, **more):
    return [file.name for file in walk(folder, **more)]


def test_files_come_in_the_order_of_their_names(folder):
    assert names(folder) == ["a.txt", "b.txt", "b/c.txt", "b/d/e.txt", "b/f.dcm", "g/h.txt"]


def test_a_folder_that_cannot_be_listed_stands_in_place_of_its_files(folder, unlistable):
    unlistable(folder / "b" / "d")
    assert names(folder) == ["a.txt", "b.txt", "b/c.txt", "b/d/", "b/f.dcm", "g/h.txt"]
    assert names(folder, include="*.dcm") == ["b/d/", "b/f.dcm"]


def test_a_folder_that_cannot_be_listed_is_refused_and_its_neighbors_are_not(folder, unlistable):
    unlistable(folder / "b")
    ledger = Ledger(Pseudonyms(b"some secret of 16 bytes"))
    ledger.open(walk(folder))
    scan(ledger)
    found = {entry.file.name: str(entry.code) for entry in ledger.entries.values()}
    texts = dict.fromkeys(["a.txt", "b.txt", "g/h.txt"], "not_an_image")
    assert found == texts | {"b/": "unlisted_folder"}


@pytest.mark.parametrize(
    ("name", "expected"),
    [("", r"cannot be listed \(Permission denied\); have its owner allow it"), ("x", "neither")],
)
def test_no_message_says_where_the_archive_is(folder, unlistable, name, expected):
    unlistable(folder)
    with pytest.raises(DataError, match=expected) as raised:
        names(folder / name)
    assert str(folder) not in str(raised.value)
