"""The ledger: every file that was looked at, and what became of it."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import pyarrow as pa

from medssl.data.archive.private import text_of
from medssl.data.archive.pseudonyms import Pseudonyms
from medssl.data.archive.walk import File
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


@dataclass
class Entry:
    """One file's account; one file may hold several cases, and images of none."""

    file: File
    file_id: str
    code: Code | None = None
    sentence: str = ""
    uses: list[Use] = field(default_factory=list)

    @property
    def is_accepted(self) -> bool:
        """Whether a case takes something of it."""
        return bool(self.uses)

    @property
    def case_ids(self) -> list[str]:
        """The cases that take something of it, in the order in which they were read."""
        return list(dict.fromkeys(use.case_id for use in self.uses))


class Ledger:
    """Accounts of files, in the order in which they were opened."""

    def __init__(self, pseudonyms: Pseudonyms) -> None:
        self.pseudonyms = pseudonyms
        self.entries: dict[Path, Entry] = {}

    def open(self, files: Sequence[File], *, role: str = "image") -> list[File]:
        """Open accounts and return the files that had none yet."""
        new = [file for file in files if file.path not in self.entries]
        for file in new:
            file_id = self.pseudonyms("file", f"{role}|{file.source}|{file.name}")
            self.entries[file.path] = Entry(file, file_id)
        return new

    def file_id(self, path: Path) -> str:
        """Return the id of a file."""
        return self.entries[path].file_id

    def accept(self, path: Path, use: Use, *, code: Code = Code.IMAGE) -> None:
        """Write down what a case takes of a file; what was refused of an image is not forgotten."""
        entry = self.entries[path]
        if not entry.is_accepted:
            is_partial = entry.code is not None and code is Code.IMAGE
            entry.sentence = _in_part(str(entry.code), entry.sentence) if is_partial else ""
            entry.code = code
        entry.uses.append(use)

    def refuse(self, path: Path, refusal: RefusedError) -> None:
        """Write down why a file was not taken; one that a case holds stays accepted."""
        entry = self.entries[path]
        if not entry.is_accepted:
            entry.code, entry.sentence = refusal.code, refusal.sentence
        elif not entry.sentence:
            entry.sentence = _in_part(refusal.code, refusal.sentence)

    def counts(self) -> Counter[tuple[bool, str]]:
        """Count files by whether they were accepted and by code.

        Raises:
            RuntimeError: If a file has no verdict, which is a fault of this program.
        """
        if open_ids := [e.file_id for e in self.entries.values() if e.code is None]:
            msg = f"{len(open_ids)} of {len(self.entries)} files have no verdict: {open_ids[:5]}"
            raise RuntimeError(msg)
        return Counter((entry.is_accepted, str(entry.code)) for entry in self.entries.values())

    def verdicts(self) -> pa.Table:
        """Return a row a file, without a name."""
        self.counts()
        rows = [
            {
                "file_id": entry.file_id,
                "status": "accepted" if entry.is_accepted else "refused",
                "code": str(entry.code),
                "sentence": entry.sentence,
                "case_id": next(iter(entry.case_ids), None),
                "further_case_ids": entry.case_ids[1:],
            }
            for entry in self.entries.values()
        ]
        return pa.Table.from_pylist(rows, schema=VERDICTS)

    def files(self) -> pa.Table:
        """Return a row a file and what is taken of it, with its real path: for `private/` only."""
        nothing: list[Use | None] = [None]
        rows = [
            {"file_id": entry.file_id, "path": text_of(entry.file.path)}
            | ({} if use is None else asdict(use))
            for entry in self.entries.values()
            for use in entry.uses or nothing
        ]
        return pa.Table.from_pylist(rows, schema=FILES)


def _in_part(code: str, sentence: str) -> str:
    return f"part of it is in no case: {code}, {sentence}"
