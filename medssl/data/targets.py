"""Which pieces become targets: an exact share of each split, and of each subject as near as can be.

Pieces of a split stand in a row, subject by subject in an order that was drawn, and from a start
that was drawn every so many is a target. So the share is that of the split, rounded, and a subject
has as many targets as the next lower or the next higher whole number of its own share.

Source: systematic sampling, as in Cochran, "Sampling Techniques", 1977, chapter 8.
"""

from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

RANGE = 2**63


class Candidate(NamedTuple):
    """A piece that may become a target.

    Args:
        name: Its own.
        subject: Whose it is.
        split: Of its subject.
        number: Drawn for it in [0, 2^63); names order those of equal numbers.
    """

    name: str
    subject: str
    split: str
    number: int


def targets(candidates: Iterable[Candidate], share: float) -> set[str]:
    """Return the names of those that become targets, whatever order they come in."""
    of_subject: Counter[str] = Counter()
    splits: dict[str, list[Candidate]] = {}
    for one in candidates:
        of_subject[one.subject] += one.number
        splits.setdefault(one.split, []).append(one)
    found = set()
    for several in splits.values():
        # By sums: unlike the lowest number they say nothing of how many pieces a subject has.
        row = sorted(
            several,
            key=lambda one: (of_subject[one.subject] % RANGE, one.subject, one.number, one.name),
        )
        count, start = round(share * len(row)), sum(one.number for one in row) % len(row)
        found |= {
            one.name
            for place, one in enumerate(row)
            if ((place + 1) * count + start) // len(row) > (place * count + start) // len(row)
        }
    return found
