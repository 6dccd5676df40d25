"""What an archive does to a series: stores it twice, and under UIDs that are not unique."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

from medssl.data.dicom.header import Header
from medssl.data.dicom.regrid import Allowed
from medssl.data.dicom.stack import Stack
from medssl.data.dicom.stacks import Misfit, stacks
from medssl.data.verdicts import Code, RefusedError


def divide(headers: Sequence[Header], allowed: Allowed) -> Iterator[tuple[int, Stack | Misfit]]:
    """Divide what carries one series UID into volumes; each slice ends up in one answer.

    The number says which of several series under this UID a volume is of.
    """
    originals, copies = _without_copies(headers)
    for header in copies:
        refusal = RefusedError(Code.DUPLICATE_FILE, "a copy, byte for byte, of another file")
        yield 0, Misfit((header,), refusal)
    for number, series in enumerate(_series(originals)):
        for found in stacks(series, allowed):
            yield number, found


def _without_copies(headers: Sequence[Header]) -> tuple[list[Header], list[Header]]:
    """Part files from those that equal an earlier one byte for byte."""
    files: dict[Path, list[Header]] = defaultdict(list)
    for header in headers:
        files[header.path].append(header)
    counts = Counter(members[0].sop_uid for members in files.values())
    seen: set[bytes] = set()
    originals: list[Header] = []
    copies: list[Header] = []
    for path, members in files.items():
        content = _content(path) if counts[members[0].sop_uid] > 1 else None
        (copies if content in seen else originals).extend(members)
        if content is not None:
            seen.add(content)
    return originals, copies


def _content(path: Path) -> bytes:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "blake2b").digest()


def _series(headers: Sequence[Header]) -> list[list[Header]]:
    """Part several series under one UID: of several visits, or of several folders.

    Visits count only if one has more than one slice: some writers make up a study UID for each
    file. Folders count only if an instance UID stands twice: exports spread a series over them.
    """
    visits = _grouped(headers, [header.study_uid for header in headers])
    if len(visits) == len({header.path for header in headers}):
        visits = [list(headers)]
    return [series for visit in visits for series in _by_folder(visit)]


def _by_folder(headers: Sequence[Header]) -> list[list[Header]]:
    named = [(header.sop_uid, header.image) for header in headers if header.sop_uid]
    if len(named) == len(set(named)):
        return [list(headers)]
    return _grouped(headers, [str(header.path.parent) for header in headers])


def _grouped(headers: Sequence[Header], keys: Sequence[str]) -> list[list[Header]]:
    grouped: dict[str, list[Header]] = defaultdict(list)
    for header, key in zip(headers, keys, strict=True):
        grouped[key].append(header)
    return list(grouped.values())
