"""Which pieces become targets: an exact share of each split, and of each subject as near as can be.

Pieces of a split stand in a row, subjects in the order of their lowest number, and every so many
is a target. So the share is that of the split, rounded, and a subject has of its pieces as many
targets as the next lower or the next higher whole number of its own share.

Source: systematic sampling, as in Cochran, "Sampling Techniques", 1977, chapter 8.
"""

from collections.abc import Iterable
from typing import NamedTuple


class Candidate(NamedTuple):
    """A piece that may become a target.

    Args:
        name: Its own.
        subject: Whose it is.
        split: Of its subject.
        number: By which pieces are ordered, drawn for it; names order those of equal numbers.
    """

    name: str
    subject: str
    split: str
    number: int


def targets(candidates: Iterable[Candidate], share: float) -> set[str]:
    """Return the names of those that become targets, whatever order they come in."""
    lowest: dict[str, tuple[int, str]] = {}
    splits: dict[str, list[Candidate]] = {}
    for one in candidates:
        here = (one.number, one.name)
        lowest[one.subject] = min(here, lowest.get(one.subject, here))
        splits.setdefault(one.split, []).append(one)
    found = set()
    for several in splits.values():
        row = sorted(several, key=lambda one: (lowest[one.subject], one.number, one.name))
        count = round(share * len(row))
        found |= {
            one.name
            for place, one in enumerate(row)
            if (place + 1) * count // len(row) > place * count // len(row)
        }
    return found
