"""What an archive does to a series: stores it twice, and under UIDs that are not unique.

Source: DICOM PS3.3 2024, A.1.2.3 and C.7.3.1 (a series is of one study).
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence

from medssl.data.archive.versions import Contents, versions
from medssl.data.dicom.header import Header
from medssl.data.dicom.regrid import Allowed
from medssl.data.dicom.stack import Stack
from medssl.data.dicom.stacks import Misfit, stacks


def divide(
    headers: Sequence[Header], allowed: Allowed, contents: Contents
) -> Iterator[tuple[int, Stack | Misfit]]:
    """Divide what carries one series UID into volumes; each slice ends up in one answer.

    The number says which of several series under this UID a volume is of.
    """
    found = versions(headers, contents)
    for misfit in found.misfits():
        yield 0, misfit
    for number, visit in enumerate(_visits(found.kept)):
        for volume in stacks(visit, allowed):
            yield number, found.without_conflicts(volume)


def _visits(headers: Sequence[Header]) -> list[list[Header]]:
    """Part several series under one UID, of several visits.

    Visits count only if one has more than one slice: some writers make up a study UID for each
    file.
    """
    visits: dict[str, list[Header]] = defaultdict(list)
    for header in headers:
        visits[header.study_uid].append(header)
    if len(visits) == len({header.path for header in headers}):
        return [list(headers)]
    return list(visits.values())
