"""From what a PACS holds to what is here: each missing instance is asked for, and no other."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from medssl.data.pacs import Outcome, Pacs, Series
from medssl.data.pacs.received import Received

PATIENCE = 3  # series in a row of which nothing comes; then the others are not asked for
NOT_ASKED = "not asked for, as nothing came of those before"


def lacking(series: Series, received: Received) -> list[str]:
    """Return the instances of a series that are not here."""
    return [uid for uid in series.instances if uid not in received]


def bring(pacs: Pacs, series: Sequence[Series], received: Received) -> Iterator[Outcome]:
    """Bring what is not here; yield one outcome for each instance that was missing."""
    fruitless = 0
    for one in series:
        missing = lacking(one, received)
        if not missing:
            continue
        if fruitless == PATIENCE:
            yield from (Outcome(uid, NOT_ASKED) for uid in missing)
            continue
        fruitless += 1
        for outcome in pacs.retrieve(one, missing, received):
            if outcome.failure is None:
                fruitless = 0
            yield outcome


def failures(outcomes: Iterable[Outcome]) -> Counter[str]:
    """Count the instances that did not come, by why."""
    return Counter(outcome.failure for outcome in outcomes if outcome.failure is not None)
