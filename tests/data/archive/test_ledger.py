"""What the ledger says of files that cases take."""

from pathlib import Path

import pytest

from medssl.data.archive.ledger import Ledger, Use
from medssl.data.archive.pseudonyms import Pseudonyms
from medssl.data.archive.walk import File
from medssl.data.verdicts import Code, RefusedError

ONE, OTHER = Path("/in/1"), Path("/in/2")


@pytest.fixture
def ledger():
    found = Ledger(Pseudonyms(bytes(32)))
    found.open(File(path, path.name) for path in (ONE, OTHER))
    return found


def test_what_was_refused_of_an_image_that_is_taken_is_not_forgotten(ledger):
    ledger.refuse(ONE, RefusedError(Code.TRUNCATED, "it ends early"))
    ledger.accept([(ONE, Use("a", 0, 1)), (OTHER, Use("a", 1)), (ONE, Use("b", 0, 2))])
    entry, other = ledger.entries.values()
    assert entry.is_accepted
    assert (entry.code, other.code) == (Code.IMAGE, Code.IMAGE)
    assert entry.sentence == "part of it is in no case: truncated, it ends early"
    assert other.sentence == ""
    rows = ledger.files().select(["case_id", "position", "image"]).to_pylist()
    assert [tuple(row.values()) for row in rows] == [("a", 0, 1), ("b", 0, 2), ("a", 1, None)]


def test_a_label_that_is_taken_is_taken_whole(ledger):
    ledger.refuse(ONE, RefusedError(Code.TRUNCATED, "it ends early"))
    ledger.accept([(ONE, Use("a"))], code=Code.LABEL)
    entry, _ = ledger.entries.values()
    assert (entry.code, entry.sentence) == (Code.LABEL, "")


def test_a_file_without_an_account_is_not_accepted_in_silence(ledger):
    with pytest.raises(RuntimeError, match="2 files were to be accepted, 1 have an account"):
        ledger.accept([(ONE, Use("a")), (Path("/in/3"), Use("a"))])
